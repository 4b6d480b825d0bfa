"""Verdicts counted by window of event time and by type."""
