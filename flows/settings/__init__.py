"""What may be set, where it comes from, and what goes together."""
