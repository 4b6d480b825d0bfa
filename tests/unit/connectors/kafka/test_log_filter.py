"""A message that many connections repeat is logged once in a while."""

import logging

from connectors.kafka.log_filter import RepeatFilter


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def record(message: str) -> logging.LogRecord:
    return logging.LogRecord("dedup.kafka", logging.ERROR, "", 0, message, (), None)


def test_a_repeated_message_is_counted_instead() -> None:
    clock = Clock()
    repeats = RepeatFilter(clock, 10.0)
    first = record("FAIL [lane-1#producer-1] [thrd:a]: refused (after 0ms in state CONNECT)")
    same = record("FAIL [lane-2#producer-7] [thrd:b]: refused (after 12ms in state CONNECT)")
    later = record("FAIL [lane-2#producer-7] [thrd:b]: refused (after 3ms in state CONNECT)")

    assert repeats.filter(first)
    assert not repeats.filter(same)
    assert repeats.filter(record("another"))
    clock.now = 10.0
    assert repeats.filter(later)
    assert later.getMessage().endswith("refused (after 3ms in state CONNECT) (1 more of these)")
    assert not repeats.filter(same)


def test_the_number_of_remembered_messages_is_bounded() -> None:
    repeats = RepeatFilter(Clock())
    for number in range(5000):
        assert repeats.filter(record(f"message {number}"))
    assert len(repeats._logged) <= 1000
