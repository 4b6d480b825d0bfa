"""The replay log's records: what is written can be read back, and nothing else is taken for one."""

import pytest

from flows.cli.replay.log import log_records, read_log_record
from flows.cli.replay.selection import Origin, ReplayLog
from operators.errors import StateError


def test_a_record_for_each_input_partition_is_read_back() -> None:
    origins = [Origin("raw", 0, 7), Origin("raw", 1, 7), Origin("raw", 0, 9)]
    values = log_records("target", origins)
    replayed = ReplayLog()
    for value in values:
        read_log_record(value, replayed)

    assert len(values) == 2
    assert all(replayed.has("target", origin) for origin in origins)
    assert not replayed.has("target", Origin("raw", 1, 9))
    assert not replayed.has("raw", origins[0])


@pytest.mark.parametrize("value", [b"", b"no JSON", b"[]", b"{}", b'{"to":"a","topic":"b"}'])
def test_a_record_of_another_program_is_refused(value: bytes) -> None:
    with pytest.raises(StateError, match="the replay log holds a record that"):
        read_log_record(value, ReplayLog())
