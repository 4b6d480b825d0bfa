# Stands in for apache/kafka where it cannot be pulled: the same jars, variables and paths, as far
# as docker-compose.yml and deploy/kafka/docker.py use them.  Built by tests/deploy/images.py on a
# base with Java; the context is the folder of the jars.
ARG BASE
FROM ${BASE}
COPY *.jar /opt/kafka/libs/
COPY start.sh /start.sh
COPY kafka-broker-api-versions.sh /opt/kafka/bin/kafka-broker-api-versions.sh
RUN chmod 755 /start.sh /opt/kafka/bin/*.sh && mkdir -p /var/lib/kafka/data
CMD ["/start.sh"]
