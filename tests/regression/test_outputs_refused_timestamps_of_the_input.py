"""Since Kafka 4 topics refuse timestamps more than an hour ahead unless they are told otherwise.

Outputs that the job created had that limit although the input had not: one record of the input
ended the job, and every start after that.
"""

import time
from pathlib import Path

import pytest
from confluent_kafka import KafkaError

from connectors.kafka.access import KafkaAccess
from connectors.kafka.produce import rejected
from connectors.kafka.timestamp_limits import check_timestamp_limits
from connectors.kafka.topics import TopicError, ensure_topics, topic_config
from deploy.kafka import Broker
from tests.integration.job import Job, fail, finish
from tests.integration.topics import VERDICTS, Topics
from tests.model import Record

BEFORE, AFTER = "message.timestamp.before.max.ms", "message.timestamp.after.max.ms"
UNLIMITED = 2**63 - 1
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
NO_LIMITS = {"message_timestamp_after_max_ms": str(UNLIMITED)}


@pytest.fixture
def topics(broker: Broker, topic_prefix: str) -> Topics:
    return Topics(broker.bootstrap, topic_prefix)


def value(event: int) -> bytes:
    return (
        b'{"event_id":"%d","user_id":"u","event_type":"t","timestamp":1700000000,"data":{}}' % event
    )


def test_outputs_take_what_the_input_has(topics: Topics, tmp_path: Path) -> None:
    topics.create(topics.input, None, **NO_LIMITS)
    now = round(time.time() * 1000)
    stamps = [now, now + DAY_MS, now - 2 * DAY_MS, now + 1000 * DAY_MS]
    drafts = [
        Record(0, offset, b"k", value(offset), timestamp_ms=stamp)
        for offset, stamp in enumerate(stamps)
    ]
    topics.produce([*drafts, Record(0, 4, b"k", b"no JSON", timestamp_ms=now + DAY_MS)])

    finish(Job(topics.settings, tmp_path))

    found = topics.read()
    assert sorted(record.timestamp_ms or 0 for record in found["unique"]) == sorted(stamps)
    assert [record.timestamp_ms for record in found["invalid"]] == [now + DAY_MS]


def test_an_input_with_a_limit_may_be_older_than_its_limit(topics: Topics) -> None:
    """What it took before it had one is still there."""
    topics.create(topics.input)
    access = KafkaAccess(topics.bootstrap, topics.prefix)
    outputs = list(topics.outputs.values())
    ensure_topics(access, topics.input, outputs, create=True)
    admin = access.admin()
    for topic in outputs:
        config = topic_config(admin, topic)
        assert (config[BEFORE], config[AFTER]) == (str(UNLIMITED), str(UNLIMITED))


@pytest.mark.parametrize("setting,limit", [(AFTER, HOUR_MS), (BEFORE, 7 * DAY_MS)])
def test_an_output_that_takes_less_is_refused_at_start(
    topics: Topics, tmp_path: Path, setting: str, limit: int
) -> None:
    topics.create(topics.input, None, **NO_LIMITS)
    for verdict in VERDICTS:
        topics.create(topics.outputs[verdict], None, **NO_LIMITS)
    topics.alter(topics.outputs["late"], setting, str(limit))

    line = fail(Job(topics.settings, tmp_path))

    assert line == (
        f"dedup: topic {topics.outputs['late']} has {setting}={limit}, and the input "
        f"{topics.input} takes {UNLIMITED}: the output would refuse records that the input has. "
        f"Set it to at least {UNLIMITED}"
    )


@pytest.mark.parametrize(
    "of_input,of_output",
    [
        ({}, {}),
        ({"message_timestamp_type": "LogAppendTime"}, {}),
        (NO_LIMITS, {"message_timestamp_type": "LogAppendTime"}),
        ({}, NO_LIMITS),
    ],
)
def test_an_output_that_takes_as_much_is_not(
    topics: Topics, of_input: dict[str, str], of_output: dict[str, str]
) -> None:
    topics.create(topics.input, None, **of_input)
    topics.create(topics.outputs["unique"], None, **of_output)
    access = KafkaAccess(topics.bootstrap, topics.prefix)
    check_timestamp_limits(
        access, topics.input, [topics.outputs["unique"], "", topics.outputs["late"]]
    )


def test_brokers_with_one_limit_for_both(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Kafka 4."""
    both = "message.timestamp.difference.max.ms"
    configs = {
        "in": {both: str(DAY_MS), BEFORE: str(UNLIMITED), AFTER: str(UNLIMITED)},
        "out": {both: str(HOUR_MS)},
    }
    monkeypatch.setattr(
        "connectors.kafka.timestamp_limits.topic_config", lambda _, topic: configs[topic]
    )
    access = KafkaAccess(topics.bootstrap, topics.prefix)
    with pytest.raises(TopicError, match=f"topic out has {both}={HOUR_MS}, .* takes {DAY_MS}:"):
        check_timestamp_limits(access, "in", ["out"])
    check_timestamp_limits(access, "out", ["in"])


def test_a_topic_that_refuses_one_later_says_what_to_raise() -> None:
    line = str(rejected("out", KafkaError(KafkaError.INVALID_TIMESTAMP)))
    assert f"raise the topic's {BEFORE} and {AFTER}, and start again" in line
