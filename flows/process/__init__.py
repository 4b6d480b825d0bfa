"""What runs beside the dataflow: health, watchdog, peers, recovery, logs, malloc."""
