"""Where Kafka places a group or a transactional id."""

import pytest

from deploy.kafka.cluster import java_hash


@pytest.mark.parametrize(
    "text, expected",
    # As `"…".hashCode()` in Java; the third is the one number that has no positive twin.
    [("dedup", 95_460_830), ("ключ", 33_309_882), ("polygenelubricants", 0), ("", 0)],
)
def test_where_kafka_places_a_name(text: str, expected: int) -> None:
    assert java_hash(text) == expected
