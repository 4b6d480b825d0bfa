"""Which error of a client counts when a call only times out."""

import pytest
from confluent_kafka import KafkaError, KafkaException

from connectors.kafka.client_errors import LastClientError, error_text, is_rejected

DOWN = KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down")
TRANSPORT = KafkaError(KafkaError._TRANSPORT, "connection refused")
PASSWORD = KafkaError(KafkaError._AUTHENTICATION, "invalid credentials")
CERTIFICATE = KafkaError(KafkaError._TRANSPORT, "ssl3_read: SSL routines: certificate required")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_broker_rejects_a_password_or_a_certificate() -> None:
    assert is_rejected(PASSWORD)
    assert is_rejected(CERTIFICATE)
    assert not is_rejected(TRANSPORT)


def test_the_latest_error_counts(clock: Clock) -> None:
    last_error = LastClientError(clock)
    assert last_error.latest() is None
    last_error.add(TRANSPORT)
    last_error.add(PASSWORD)
    assert last_error.latest() is PASSWORD
    assert last_error.is_rejection


def test_a_rejection_is_not_hidden_by_what_follows_it(clock: Clock) -> None:
    last_error = LastClientError(clock)
    last_error.add(PASSWORD)
    last_error.add(TRANSPORT)
    last_error.add(DOWN)
    assert last_error.latest() is PASSWORD


def test_an_error_that_says_nothing_is_not_kept(clock: Clock) -> None:
    last_error = LastClientError(clock)
    last_error.add(DOWN)
    assert last_error.latest() is None


def test_an_old_error_does_not_count(clock: Clock) -> None:
    last_error = LastClientError(clock)
    last_error.add(PASSWORD)
    clock.now = 30.5
    assert last_error.latest() is None
    assert not last_error.is_rejection
    last_error.add(TRANSPORT)
    assert last_error.latest() is TRANSPORT


def test_a_text_has_no_full_stop() -> None:
    error = KafkaException(KafkaError(KafkaError._TRANSPORT, "refused."))
    assert error_text(error) == "refused"
    assert error_text(ValueError("other.")) == "other"
