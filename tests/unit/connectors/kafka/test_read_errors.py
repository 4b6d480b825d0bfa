"""How long read errors may last that usually pass."""

import pytest
from confluent_kafka import KafkaError

from connectors.kafka.read_errors import MAX_OUTAGE_SECONDS, OversizedResponse, ReadErrors
from operators.errors import SourceError


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def too_large() -> KafkaError:
    return KafkaError(
        KafkaError._BAD_MSG, "Invalid response size 104857601: increase receive.message.max.bytes"
    )


def test_a_response_that_the_client_does_not_take_ends_the_job() -> None:
    """The client asks for it forever, and says so only to its `error_cb`."""
    seen: list[KafkaError] = []
    oversized = OversizedResponse(seen.append)
    for code in (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN):
        oversized.on_error(KafkaError(code, "broker is down"))
    oversized.check(["a"])

    oversized.on_error(too_large())
    oversized.on_error(KafkaError(KafkaError._TRANSPORT, "broker is down"))
    with pytest.raises(
        SourceError, match=r"records of a or b .*raise receive\.message\.max\.bytes"
    ):
        oversized.check(["a", "b"])
    assert len(seen) == 4


def read_errors(clock: Clock) -> ReadErrors:
    return ReadErrors("t", 0, clock)


def test_an_unknown_error_that_lasts_ends_the_job() -> None:
    clock = Clock()
    errors = read_errors(clock)
    while clock.now < MAX_OUTAGE_SECONDS:
        errors.handle(KafkaError(KafkaError.UNKNOWN), 5)
        clock.now += 0.5
    with pytest.raises(SourceError, match="offset 5 of t/0 cannot be read"):
        errors.handle(KafkaError(KafkaError.UNKNOWN), 5)


def test_unknown_errors_of_two_outages_do_not_add_up() -> None:
    """No record comes in between, since nothing is written to that partition."""
    clock = Clock()
    errors = read_errors(clock)
    for _ in range(3):
        errors.handle(KafkaError(KafkaError.UNKNOWN), 5)
        clock.now += 3600.0


def test_progress_ends_an_outage() -> None:
    clock = Clock()
    errors = read_errors(clock)
    for _ in range(10):
        for _ in range(100):
            errors.handle(KafkaError(KafkaError.UNKNOWN), 5)
            clock.now += 0.5
        errors.note_progress()
