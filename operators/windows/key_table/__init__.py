"""Keys with the last time each was seen, in one table of arrays."""
