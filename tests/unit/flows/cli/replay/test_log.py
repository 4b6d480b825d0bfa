"""The replay log's records: what is written can be read back, and nothing else is taken for one."""

import pytest

from flows.cli.replay.log import log_records, read_log_record, run_of
from flows.cli.replay.selection import Origin, ReplayLog
from operators.errors import StateError


def test_a_record_for_each_input_partition_is_read_back() -> None:
    origins = [Origin("raw", "id", 0, 7), Origin("raw", "id", 1, 7), Origin("raw", "id", 0, 9)]
    values = log_records("run", "target", origins)
    replayed = ReplayLog()
    for value in values:
        read_log_record(value, replayed)

    assert len(values) == 2
    assert all(replayed.has("target", origin) for origin in origins)
    assert not replayed.has("target", Origin("raw", "id", 1, 9))
    assert not replayed.has("raw", origins[0])


def test_records_of_a_topic_made_again_have_a_record_of_their_own() -> None:
    origins = [Origin("raw", "before", 0, 7), Origin("raw", "after", 0, 8)]
    values = log_records("run", "target", origins)
    replayed = ReplayLog()
    for value in values:
        read_log_record(value, replayed)

    assert len(values) == 2
    assert all(replayed.has("target", origin) for origin in origins)
    assert not replayed.has("target", Origin("raw", "after", 0, 7))
    assert not replayed.has("target", Origin("raw", "before", 0, 8))


def test_a_record_of_an_earlier_version_counts_for_any_topic_of_the_name() -> None:
    replayed = ReplayLog()
    read_log_record(b'{"to":"target","topic":"raw","partition":0,"offsets":[7]}', replayed)

    assert replayed.has("target", Origin("raw", "id", 0, 7))
    assert replayed.has("target", Origin("raw", "", 0, 7))
    assert not replayed.has("target", Origin("raw", "id", 0, 8))


def test_an_answer_without_an_id_may_have_been_replayed_with_one() -> None:
    replayed = ReplayLog()
    [value] = log_records("run", "target", [Origin("raw", "id", 0, 7)])
    read_log_record(value, replayed)

    assert replayed.has("target", Origin("raw", "", 0, 7))
    assert not replayed.has("target", Origin("raw", "", 0, 8))


def test_records_name_their_run() -> None:
    [value] = log_records("a run", "target", [Origin("raw", "id", 0, 7)])

    assert run_of(value) == "a run"
    assert run_of(b'{"to":"target","topic":"raw","partition":0,"offsets":[7]}') == ""
    assert run_of(b"no JSON") == ""
    assert run_of(b"[]") == ""


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"no JSON",
        b"[]",
        b"{}",
        b'{"to":"a","topic":"b"}',
        b'{"to":"a","topic":"b","id":[],"partition":0,"offsets":[1]}',
    ],
)
def test_a_record_of_another_program_is_refused(value: bytes) -> None:
    with pytest.raises(StateError, match="the replay log holds a record that"):
        read_log_record(value, ReplayLog())
