"""At least once, two processes of a new application each found an end of their own for `latest`.

The one that was later wrote its offset over the other's.  After a crash before the first commit,
what had come in between was never read.
"""

import logging
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import pytest

from connectors.kafka import group_offsets as module
from connectors.kafka.access import KafkaAccess
from connectors.kafka.group_offsets import group_offsets
from connectors.kafka.input_topics import input_partitions
from connectors.kafka.starting_offsets import InputOffsets, offsets_to_begin
from operators.batches import InputPartition
from tests.integration.conftest import MakeTopics
from tests.integration.streams import events

SECONDS = 20.0


def test_all_begin_where_one_has_written(
    make_topics: MakeTopics, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    topics = make_topics()
    access = KafkaAccess(topics.bootstrap, topics.prefix)
    [partition] = input_partitions(access, access.admin(), [topics.input])
    topics.produce(events(10, seed=1))
    monkeypatch.setattr(module, "_FIRST_LOG_SECONDS", 0.5)

    with ThreadPoolExecutor(2) as pool, caplog.at_level(logging.INFO):
        others: list[Future[InputOffsets]] = []

        def find_and_pause(*arguments: Any) -> dict[InputPartition, int]:  # noqa: ANN401 - its own
            """Let the other process do what it can between finding the end and writing it."""
            found = offsets_to_begin(*arguments)
            if not others:
                topics.produce(events(5, seed=2))
                others.append(
                    pool.submit(group_offsets, access, [partition], "latest", begins=False)
                )
                wait(others, 2)
            return found

        monkeypatch.setattr(module, "offsets_to_begin", find_and_pause)
        first = group_offsets(access, [partition], "latest", begins=True)
        other = others[0].result(SECONDS)

    assert first.starts == other.starts == {partition: 10}
    assert topics.committed() == {0: 10}
    assert "waiting for process 0" in caplog.text
