"""`dedup audit`: proves that every input record has exactly one answer."""
