"""How large a batch may be, from the settings of the topics that are written."""

from collections.abc import Mapping
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from connectors.kafka import batch_sizes
from connectors.kafka.access import MAX_BATCH_BYTES, KafkaAccess
from connectors.kafka.batch_sizes import fitted
from connectors.kafka.requests import KafkaUnreachableError

ACCESS = KafkaAccess("127.0.0.1:1", "app", {"log_level": 0})
TOPICS: Mapping[str, dict[str, str] | int] = {
    "usual": {"max.message.bytes": "1048588", "segment.bytes": "1073741824"},
    "small": {"max.message.bytes": "100000", "segment.bytes": "1073741824"},
    "segments": {"max.message.bytes": "1048588", "segment.bytes": "50000"},
    "tiny": {"max.message.bytes": "1"},
    "forbidden": KafkaError.TOPIC_AUTHORIZATION_FAILED,
    "refused": KafkaError.SASL_AUTHENTICATION_FAILED,
}


@pytest.fixture(autouse=True)
def settings_of_topics(monkeypatch: pytest.MonkeyPatch) -> None:
    def config(_: AdminClient, topic: str) -> dict[str, str]:
        answer = TOPICS[topic]
        if isinstance(answer, int):
            raise KafkaException(KafkaError(answer))
        return answer

    monkeypatch.setattr(batch_sizes, "topic_config", config)


@pytest.mark.parametrize(
    "topics,size",
    [
        (["usual"], MAX_BATCH_BYTES),
        (["usual", "small"], 99_000),
        (["segments", "small"], 49_500),
        (["tiny"], 1),
        (["", "usual", ""], MAX_BATCH_BYTES),
        ([], MAX_BATCH_BYTES),
        (["forbidden", "small"], 99_000),
    ],
)
def test_the_smallest_counts(topics: list[str], size: int) -> None:
    """A hundredth less, as brokers may compress what does not compress."""
    access = fitted(ACCESS, "usual", topics)
    assert access.producer_settings("role")["batch.size"] == size
    assert access.input_bytes == 1_048_588


@pytest.mark.parametrize("where", ["producer", "common"])
def test_a_size_of_the_users_wins(where: str) -> None:
    given: dict[str, Any] = {where: {"batch.size": 500_000}}
    access = fitted(KafkaAccess("127.0.0.1:1", "app", **given), "usual", ["small", "refused"])
    assert access.producer_settings("role")["batch.size"] == 500_000


def test_what_this_user_may_not_see_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    access = fitted(ACCESS, "forbidden", ["forbidden", "usual", "forbidden"])
    assert access.batch_bytes == MAX_BATCH_BYTES
    assert access.input_bytes is None
    [record] = caplog.records
    assert "for forbidden (DescribeConfigs)" in record.getMessage()
    assert "set batch.size in DEDUP_PRODUCER" in record.getMessage()


def test_brokers_that_do_not_answer_are_an_error() -> None:
    with pytest.raises(KafkaUnreachableError):
        fitted(ACCESS, None, ["refused"])


def test_a_topic_that_was_made_just_now_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[dict[str, str] | int] = [KafkaError.UNKNOWN_TOPIC_OR_PART, {"segment.bytes": "9"}]

    def config(_: AdminClient, topic: str) -> dict[str, str]:
        del topic
        answer = answers.pop(0)
        if isinstance(answer, int):
            raise KafkaException(KafkaError(answer))
        return answer

    monkeypatch.setattr(batch_sizes, "topic_config", config)
    assert fitted(ACCESS, None, ["new"]).batch_bytes == 9
