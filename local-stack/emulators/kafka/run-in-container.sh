#!/usr/bin/env bash
# Formats Kafka's storage and becomes the broker, in the image of the Dockerfile beside it. KAFKA_ADVERTISED is its address
# outside of the container.
set -euo pipefail

properties=/var/lib/kafka/server.properties
java=(java -Xmx512m -cp '/opt/kafka/jars/*' -Dlog4j.configuration=file:/opt/kafka/log4j.properties)
{
    cat /opt/kafka/server.properties
    echo "listeners=PLAINTEXT://0.0.0.0:9092,CONTROLLER://127.0.0.1:9093"
    echo "advertised.listeners=PLAINTEXT://$KAFKA_ADVERTISED"
    echo "controller.quorum.voters=1@127.0.0.1:9093"
    echo "log.dirs=/var/lib/kafka/data"
} >"$properties"
"${java[@]}" kafka.tools.StorageTool format --ignore-formatted --cluster-id=dHJpYnV0YXJ5LWxvY2FsMA --config "$properties"
exec "${java[@]}" kafka.Kafka "$properties"
