"""Near duplicates: found without missing one, compared exactly.

An index proposes the few records that can be similar enough; what is compared is
their text.  No Kafka, no Bytewax, no clock.
"""
