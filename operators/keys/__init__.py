"""What makes a key: field paths, canonical JSON, hashes."""
