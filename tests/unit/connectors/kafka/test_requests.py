"""Requests are repeated while a partition's leader or a coordinator is missing."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace

import pytest
from confluent_kafka import KafkaError, KafkaException

from connectors.kafka import requests
from connectors.kafka.access import KafkaAccess
from connectors.kafka.requests import KafkaUnreachableError, answer_to, retrying
from operators.errors import SettingsError

ACCESS = KafkaAccess("127.0.0.1:1", "app")


def failing(code: int, times: int) -> tuple[list[int], Callable[[], str]]:
    calls: list[int] = []

    def call() -> str:
        calls.append(code)
        if len(calls) <= times:
            raise KafkaException(KafkaError(code))
        return "answer"

    return calls, call


@pytest.mark.parametrize(
    "code",
    [
        KafkaError.NOT_COORDINATOR,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError._WAIT_COORD,
        # The client knows of an older leader than the broker, or of a newer one.
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        # A broker that answered a moment ago and is busy now.
        KafkaError._TIMED_OUT,
        # A listed partition whose leader is away.
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._NOENT,
    ],
)
def test_errors_that_pass_are_retried(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "_RETRY_SECONDS", 0.0)
    calls, call = failing(code, times=2)
    assert retrying(ACCESS, call) == "answer"
    assert len(calls) == 3


@pytest.mark.parametrize(
    "code", [KafkaError._AUTHENTICATION, KafkaError.TOPIC_AUTHORIZATION_FAILED]
)
def test_other_errors_are_raised_at_once(code: int) -> None:
    calls, call = failing(code, times=1)
    with pytest.raises(KafkaUnreachableError, match="cannot talk to Kafka"):
        retrying(ACCESS, call)
    assert len(calls) == 1


def test_retrying_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(requests, "REQUEST_SECONDS", 0.05)
    calls, call = failing(KafkaError.LEADER_NOT_AVAILABLE, times=1_000_000)
    with pytest.raises(KafkaUnreachableError):
        retrying(ACCESS, call)
    assert len(calls) > 1


_AWS = {"sasl.oauthbearer.metadata.authentication.type": "aws_iam"}


@pytest.mark.parametrize(
    "setting, access",
    [
        ("DEDUP_KAFKA", replace(ACCESS, common=_AWS)),
        ("DEDUP_CONSUMER", replace(ACCESS, consumer=_AWS)),
        ("DEDUP_PRODUCER", replace(ACCESS, producer=_AWS)),
    ],
)
def test_a_way_to_sign_in_that_librdkafka_lacks_is_refused(
    setting: str, access: KafkaAccess
) -> None:
    with pytest.raises(SettingsError, match=f"{setting}: .*aws_iam cannot be used"):
        access.check()


def test_a_request_that_a_client_has_lost_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(requests, "_GRACE_SECONDS", 0.1)
    answered: Future[int] = Future()
    answered.set_result(7)
    assert answer_to(answered) == 7

    with pytest.raises(KafkaException) as caught:
        answer_to(Future[int](), 0.1)
    assert caught.value.args[0].code() == KafkaError._TIMED_OUT
