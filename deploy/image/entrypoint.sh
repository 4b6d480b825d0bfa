#!/bin/sh
# For waxctl and Bytewax's Helm chart, which run `sh ./entrypoint.sh` in the working directory and
# name the flow's file in a variable.
exec python /app/entrypoint.py python -m bytewax.run "${BYTEWAX_PYTHON_FILE_PATH:-flows.dedup}"
