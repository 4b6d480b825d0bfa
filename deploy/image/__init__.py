"""The image: what it starts with."""
