"""How long records of a partition are those that it had when the job found it."""

import pytest

from connectors.kafka.partition_reading import Reading
from operators.batches import InputPartition

BEGUN = 5000.0
HERE = InputPartition("t", "id", 1)


def reading(history_end: int | None, start: int = 0) -> Reading:
    return Reading.begin(
        HERE, start, stop_at=None, history_end=history_end, now=BEGUN, quiet_since=0.0
    )


def ends(its: Reading, *nexts: int, now: float = BEGUN) -> list[int | None]:
    """Read on to some offsets; return what the spans say."""
    found = []
    for offset in nexts:
        its.next = offset
        found.append(its.span(now).history_end)
    return found


def test_each_span_is_marked_until_one_has_reached_the_end() -> None:
    assert ends(reading(10), 4, 9, 10, 11) == [10, 10, 10, None]
    assert ends(reading(10), 4, 12, 13) == [10, 10, None]


@pytest.mark.parametrize("history_end, start", [(None, 0), (0, 0), (10, 10), (10, 12)])
def test_a_partition_that_had_nothing_to_read_is_not_marked(
    history_end: int | None, start: int
) -> None:
    assert ends(reading(history_end, start), start, start + 5) == [None, None]


def test_a_long_history_ends_after_a_minute() -> None:
    its = reading(1000)
    assert ends(its, 4, now=BEGUN + 59) == [1000]
    assert ends(its, 7, 9, now=BEGUN + 61) == [7, None]


def test_a_history_ends_with_its_topic() -> None:
    its = reading(1000)
    assert ends(its, 4) == [1000]
    its.next = 6
    gone = its.gone_span(BEGUN)
    assert (gone.start, gone.end, gone.history_end, gone.gone) == (4, 4, 4, True)
    assert reading(None).gone_span(BEGUN).history_end is None
