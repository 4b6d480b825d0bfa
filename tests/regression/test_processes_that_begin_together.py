"""Processes of a new application that started at once stopped one another for many seconds.

Each fenced the one that was about to write where reading begins.  And one that read while that
was being committed saw it in some lanes only, took the input for new, and began at its first
record, not at `latest`.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest

from connectors.exactly_once.beginning import begin_application
from connectors.exactly_once.changelog import AnsweredInput, Changelog
from connectors.kafka.starting_offsets import offsets_to_begin
from tests.integration.lane_harness import LaneHarness, make_records

PROCESSES = 6
SECONDS = 10.0


def begin(harness: LaneHarness, changelog: Changelog) -> list[AnsweredInput | None]:
    partitions = harness.inputs
    return begin_application(
        harness.access,
        changelog,
        lambda: offsets_to_begin(harness.access, partitions, "latest"),
        harness.fingerprint,
    )


def test_all_read_what_one_has_written(harness: LaneHarness) -> None:
    harness.topics.produce(make_records(0, 10))
    changelogs = [Changelog(harness.access, harness.lanes) for _ in range(PROCESSES)]
    with ThreadPoolExecutor(PROCESSES) as pool:
        found = [pool.submit(begin, harness, changelog) for changelog in changelogs]
        answers = [future.result(SECONDS) for future in found]

    wanted = AnsweredInput(harness.fingerprint, {harness.inputs[0]: 10})
    assert answers == [[wanted] * harness.lanes] * PROCESSES
    # One transaction: a record and its end.
    spans = [harness.changelog_span(lane) for lane in range(harness.lanes)]
    assert spans == [(0, 2)] * harness.lanes


def test_what_shows_in_some_lanes_only_is_not_yet_read(
    harness: LaneHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.topics.produce(make_records(0, 10))
    whole = begin(harness, harness.changelog)
    answered, calls = Changelog.answered, iter([[whole[0], None]])
    monkeypatch.setattr(
        Changelog, "answered", lambda changelog: next(calls, None) or answered(changelog)
    )

    assert begin(harness, harness.changelog) == whole
