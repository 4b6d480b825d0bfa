"""The sink for exactly once, and what only it needs."""
