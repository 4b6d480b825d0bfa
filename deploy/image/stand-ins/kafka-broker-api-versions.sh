#!/bin/sh
# The health check's; the tools' jar is not among the broker's.
exec python3 -c 'import socket; socket.create_connection(("localhost", 9092), 2)'
