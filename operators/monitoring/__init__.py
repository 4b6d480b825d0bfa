"""What the job did: metrics, liveness, evictions, skew."""
