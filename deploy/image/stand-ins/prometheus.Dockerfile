# Stands in for prom/prometheus where it cannot be pulled; the base has Debian's package.
ARG BASE
FROM ${BASE}
RUN mkdir -p /prometheus
ENTRYPOINT ["/usr/bin/prometheus"]
