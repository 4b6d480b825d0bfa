"""Of which topic an offset of the group is."""

from typing import cast

import pytest
from confluent_kafka import TopicPartition

from connectors.kafka.group_offsets import comment_of, is_of
from operators.batches import InputPartition

HERE = InputPartition("t", "abc", 3)


@pytest.mark.parametrize(
    "comment, counts",
    [
        (comment_of(HERE), True),
        (comment_of(HERE._replace(topic_id="xyz")), False),
        (comment_of(HERE._replace(topic_id="ab")), False),
        (None, True),
        ("", True),
        ("xyz", True),
    ],
    ids=["its own", "another topic's", "half of it", "none", "empty", "of another tool"],
)
def test_the_comment_decides(comment: str | None, counts: bool) -> None:
    place = TopicPartition("t", 3, 7) if comment is None else TopicPartition("t", 3, 7, comment)
    assert is_of(HERE, place) == counts


def test_brokers_without_ids_leave_no_comment_and_ask_for_none() -> None:
    unknown = HERE._replace(topic_id="")
    assert not comment_of(unknown)
    assert is_of(unknown, TopicPartition("t", 3, 7, comment_of(HERE)))


def test_a_comment_that_cannot_be_read_counts_as_none() -> None:
    class Unreadable:
        @property
        def metadata(self) -> str:
            return b"\xc1".decode()

    assert is_of(HERE, cast("TopicPartition", Unreadable()))
