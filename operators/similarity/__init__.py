"""Near duplicates: found without missing one, compared exactly.

An index proposes the few records that can be similar enough; then their texts are
compared.  No Kafka, no Bytewax, no clock.
"""
