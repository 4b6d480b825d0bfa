#!/bin/sh
# KAFKA_LOG_DIRS=… becomes log.dirs=…, as in the image that this stands in for.
set -eu
properties=/tmp/server.properties
env | sed -n 's/^KAFKA_//p' | while IFS='=' read -r name value; do
    echo "$(echo "$name" | tr '[:upper:]_' '[:lower:].')=$value"
done > "$properties"
kafka() { java -Xmx512m -cp '/opt/kafka/libs/*' "$@"; }
kafka kafka.tools.StorageTool format --ignore-formatted \
    -t "${CLUSTER_ID:-4L6g3nShT-eMCtK--X86sw}" -c "$properties"
exec java -Xmx512m -cp '/opt/kafka/libs/*' kafka.Kafka "$properties"
