"""What a process serves on DEDUP_METRICS_PORT."""
