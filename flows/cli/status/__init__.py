"""`dedup status`: shows what a running job does."""
