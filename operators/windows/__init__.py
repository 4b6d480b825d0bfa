"""Window kinds: when two records with the same key are duplicates.

Each kind is a store of keys that knows its own rule; no Bytewax, no Kafka, no clock.
"""
