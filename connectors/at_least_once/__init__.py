"""The sink for at least once, and what only it needs."""
