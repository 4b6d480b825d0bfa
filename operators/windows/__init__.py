"""Window kinds: when two records with the same key are duplicates.

Each kind (`kinds.py`) is a store of keys with its own rule.  No Bytewax, no Kafka, no clock.
"""
