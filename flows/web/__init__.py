"""The web server of a process, on DEDUP_METRICS_PORT: metrics, probes, status."""
