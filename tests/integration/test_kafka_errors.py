"""Errors that a user can fix: one clear line, a non-zero status, and nothing lost."""

from pathlib import Path

import pytest
from confluent_kafka import TopicPartition

from connectors.shutdown import exit_on_user_error
from deploy.kafka.ports import free_ports
from flows.assembly import parts
from flows.launch import Launch
from flows.settings.load import load_settings
from operators.errors import SourceError
from operators.monitoring.metrics import Metrics
from operators.monitoring.observer import Observer
from tests.integration.conftest import MakeTopics
from tests.integration.job import Job, fail, finish, recovery_directory
from tests.integration.streams import assert_same, events, expected_in_any_order, outputs
from tests.model import Record


def test_a_broker_that_is_not_there(tmp_path: Path) -> None:
    [port] = free_ports(1)

    line = fail(Job({"DEDUP_BROKERS": f"127.0.0.1:{port}"}, tmp_path))

    assert f"DEDUP_BROKERS=127.0.0.1:{port}" in line


@pytest.mark.parametrize(
    "settings,named",
    [
        ({"DEDUP_WINDOWS": "tumbling"}, "DEDUP_WINDOWS"),
        ({"DEDUP_KAFKA": '{"bootstrap": "x"}'}, "DEDUP_KAFKA"),
        ({"DEDUP_PRODUCER": '{"compression.type": "rar"}'}, "DEDUP_PRODUCER"),
    ],
)
def test_a_wrong_setting(tmp_path: Path, settings: dict[str, str], named: str) -> None:
    line = fail(Job({"DEDUP_BROKERS": "127.0.0.1:1", **settings}, tmp_path))

    assert named in line


def test_a_missing_output_that_may_not_be_created(make_topics: MakeTopics, tmp_path: Path) -> None:
    topics = make_topics()
    records = topics.produce(events(100, seed=1))

    line = fail(Job(topics.settings | {"DEDUP_CREATE_TOPICS": "false"}, tmp_path))

    assert topics.outputs["unique"] in line
    assert "DEDUP_CREATE_TOPICS" in line
    finish(Job(topics.settings, tmp_path))
    assert_same(outputs(topics.read()), expected_in_any_order(records, topics.input))


@pytest.mark.parametrize(
    "guarantee,processes", [("at_least_once", 1), ("exactly_once", 1), ("exactly_once", 2)]
)
def test_a_record_that_is_too_large_for_its_output_topic(
    make_topics: MakeTopics, tmp_path: Path, guarantee: str, processes: int
) -> None:
    topics = make_topics(2)
    topics.create(topics.outputs["unique"], max_message_bytes="4000")
    drafts = events(600, seed=2, partitions=2, invalid=False)
    large = drafts[300]
    event = (large.value or b"").rstrip(b"}\n ") + b', "large": "' + b"x" * 9000 + b'"}}'
    drafts[300] = Record(large.partition, -1, large.key, event[:-1], None, large.timestamp_ms)
    settings = topics.settings | {"DEDUP_GUARANTEE": guarantee}
    recovery = recovery_directory(tmp_path / "recovery")
    # Together, records that are small enough are not refused.
    records = topics.produce(drafts[:300])
    finish(Job(settings, tmp_path, processes=processes, recovery=recovery))
    records += topics.produce(drafts[300:])

    with Job(settings, tmp_path, processes=processes, recovery=recovery) as job:
        ended = job.wait(40)

    assert all(process.status > 0 for process in ended)
    assert any(topics.outputs["unique"] in process.stderr for process in ended), [
        process.stderr for process in ended
    ]
    if processes == 1:
        assert "raise its max.message.bytes" in ended[0].error

    # After the fix that the line names, the job goes on where it stopped.
    topics.alter(topics.outputs["unique"], "max.message.bytes", "100000")
    finish(Job(settings, tmp_path, processes=processes, recovery=recovery))
    written, model = outputs(topics.read()), expected_in_any_order(records, topics.input)
    if guarantee == "exactly_once":
        assert_same(written, model)
    else:
        assert not any(model[verdict] - written[verdict] for verdict in model)


def test_input_that_retention_has_deleted(
    make_topics: MakeTopics, tmp_path: Path, guarantee: str
) -> None:
    topics = make_topics()
    settings = topics.settings | {"DEDUP_GUARANTEE": guarantee}
    drafts = events(600, seed=3)
    records = topics.produce(drafts[:200])
    finish(Job(settings, tmp_path))
    topics.produce(drafts[200:400])
    admin = topics.admin()
    for future in admin.delete_records([TopicPartition(topics.input, 0, 300)]).values():
        future.result(30)

    line = fail(Job(settings, tmp_path))

    assert f"{topics.input}/0" in line
    assert "offset 200" in line
    assert topics.committed() == {0: 200}
    assert_same(outputs(topics.read()), expected_in_any_order(records, topics.input))


def test_a_topic_that_was_deleted_does_not_count_as_read(
    make_topics: MakeTopics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without partitions a source has ended, and the job with status 0."""
    topics = make_topics()
    settings = load_settings(topics.settings)

    def check_and_delete(*_: object, **__: object) -> int:
        topics.delete(topics.input)
        return 1

    monkeypatch.setattr(parts, "ensure_topics", check_and_delete)
    with pytest.raises(SourceError, match="Was it deleted"):
        parts.parts_for(settings, Launch(None, 0, 1, 1), Observer(Metrics()))


def test_a_bug_is_logged_before_bytewax_can_lose_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @exit_on_user_error
    def broken() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        broken()
    [record] = caplog.records
    assert "a bug" in record.message
    assert record.exc_info is not None


def test_the_end_of_a_source_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    @exit_on_user_error
    def ended() -> None:
        raise StopIteration

    with pytest.raises(StopIteration):
        ended()
    assert not caplog.records
