"""A lane: what it decides, what it skips, what it refuses, and its snapshot."""

import copy
import pickle
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from operators.batches import Spans
from operators.changes import NO_SEQUENCE, LaneProgress
from operators.columns.event_types import EventTypes
from operators.columns.references import NO_REFERENCE, partition_and_offset, references
from operators.deduplicate import lane_mapper
from operators.errors import StateError
from operators.lanes.lane import Lane
from operators.lanes.lane_snapshot import LaneSnapshot
from operators.lanes.positions import select_rows
from operators.lanes.spec import LaneSpec
from operators.verdicts import VERDICTS, VerdictBatch
from operators.windows.session import SessionStore
from operators.windows.sliding import SlidingStore
from operators.windows.tumbling import TumblingStore
from tests.builders import inputs, slice_of
from tests.stores import contents

FINGERPRINT = {"DEDUP_KEYS": '[["event_id"]]', "DEDUP_WINDOW": "tumbling"}
SPEC = LaneSpec(partial(TumblingStore, 100.0), 10.0, 30.0, FINGERPRINT)


def sequence_of(batch: VerdictBatch) -> int:
    return batch.change.progress.sequence


def words(batch: VerdictBatch) -> str:
    """`u`, `d0:5`, `l`, `i` for each record."""
    texts = []
    for code, reference in zip(
        batch.verdicts.tolist(), batch.matches.originals.tolist(), strict=True
    ):
        place = (
            "" if reference == NO_REFERENCE else "{}:{}".format(*partition_and_offset(reference))
        )
        texts.append(VERDICTS[code][0] + place)
    return " ".join(texts)


def test_verdicts_and_what_comes_with_them() -> None:
    lane = Lane(0, SPEC)
    batch = lane.decide(
        slice_of(
            5, [(50, "a"), (51, "a"), (0, "b"), (40, "b"), (41, "c")], invalid={2: ("json", "no")}
        )
    )
    assert words(batch) == "u d0:5 i l u"
    assert batch.behind[3] == 11
    assert np.isnan(batch.behind[[0, 1, 2, 4]]).all()
    assert (batch.keys_held, batch.skipped) == (2, 0)
    assert batch.change.progress == LaneProgress(1, {0: 10}, {0: 51.0}, 51.0, inputs(1))
    assert batch.change.horizon == 51 - SPEC.allowed_lateness_seconds
    assert batch.change.delta.references.tolist() == [5, 9]
    assert sequence_of(lane.decide(slice_of(10, [(55, "c")]))) == 2


def test_late_and_invalid_records_enter_no_keys() -> None:
    lane = Lane(0, SPEC)
    lane.decide(slice_of(0, [(150, "x"), (100, "a"), (0, "b")], invalid={2: ("key", "no")}))
    assert words(lane.decide(slice_of(3, [(150, "a"), (150, "b")]))) == "u u"


def test_a_heartbeat_that_changes_nothing_has_no_number() -> None:
    lane = Lane(0, SPEC)
    lane.decide(slice_of(0, [(50, "a")]))
    assert sequence_of(lane.decide(slice_of(1, []))) == NO_SEQUENCE
    assert sequence_of(lane.decide(slice_of(1, [], end=3))) == 2  # offsets without records
    assert sequence_of(lane.decide(slice_of(3, [(50, "a")]))) == 3


def test_a_watermark_that_moves_has_a_number() -> None:
    lane = Lane(0, SPEC)
    lane.decide(slice_of(0, [(50, "a")], partitions=2))
    heartbeat = slice_of(0, [], partition=1, partitions=2)
    assert sequence_of(lane.decide(heartbeat)) == 2  # first word of partition 1
    idle = slice_of(0, [], partition=1, partitions=2, idle=True)
    assert lane.decide(idle).change.progress.watermark == 50
    assert lane.sequence == 3


def _restarted(lane: Lane) -> Lane:
    snapshot = pickle.loads(pickle.dumps(copy.deepcopy(lane)))  # noqa: S301 - our own
    again = Lane(lane.index, lane._spec)
    again.restore(snapshot)
    return again


def test_after_a_restart_what_was_answered_is_skipped() -> None:
    lane = Lane(0, SPEC)
    events = [(50.0, "a"), (51.0, "b"), (52.0, "a"), (53.0, "c"), (30.0, "d")]
    lane.decide(slice_of(0, events[:3]))
    lane = _restarted(lane)
    again = lane.decide(slice_of(0, events, invalid={1: ("json", "no"), 3: ("key", "why")}))
    assert again.slice.offsets.tolist() == [3, 4]
    assert list(again.slice.records.take(again.slice.rows).values) == [b"3", b"4"]
    assert again.slice.decided.invalid == {0: ("key", "why")}
    assert (words(again), again.skipped, again.change.progress.sequence) == ("i l", 3, 2)
    assert lane.progress == {0: 5}


def test_the_first_slice_after_a_restart_may_begin_earlier_never_later() -> None:
    lane = Lane(0, SPEC)
    lane.decide(slice_of(0, [(50, "a")] * 5))
    restarted = _restarted(lane)
    first = restarted.decide(slice_of(1, [(50, "a")] * 2))
    assert (words(first), first.skipped, first.change.progress.sequence) == ("", 2, NO_SEQUENCE)
    assert restarted.progress == {0: 5}
    with pytest.raises(StateError, match="up to offset 3, but the next records begin at 4"):
        restarted.decide(slice_of(4, [(50, "a")]))
    assert words(restarted.decide(slice_of(3, [(50, "a")] * 3))) == "d0:0"
    with pytest.raises(StateError, match="up to offset 5, but the next records begin at 6"):
        _restarted(lane).decide(slice_of(6, [(50, "a")]))


def test_a_deep_copy_is_a_snapshot_that_later_decisions_do_not_change() -> None:
    lane = Lane(3, SPEC)
    lane.decide(slice_of(0, [(50, "a")]))
    snapshot: Any = copy.deepcopy(lane)
    assert isinstance(snapshot, LaneSnapshot)
    before = pickle.dumps(snapshot)
    lane.decide(slice_of(1, [(500, "b"), (50, "c")]))
    assert pickle.dumps(snapshot) == before
    assert (snapshot.index, snapshot.sequence, snapshot.progress) == (3, 1, {0: 1})
    assert (snapshot.watermark, snapshot.max_event_times) == (50.0, {0: 50.0})
    assert snapshot.fingerprint == FINGERPRINT


@pytest.mark.parametrize("store", [TumblingStore, SlidingStore, SessionStore])
def test_a_changelog_gives_back_the_lane(store: Any) -> None:  # noqa: ANN401
    spec = replace(SPEC, new_store=partial(store, 10.0))
    lane, again = Lane(0, spec), Lane(0, spec)
    batches = [
        lane.decide(slice_of(5 * n, [(3 * n + k * 7 % 5, "abcd"[k * n % 4]) for k in range(5)]))
        for n in range(20)
    ]
    again.apply([batch.change for batch in batches[:10]])
    again.apply([batch.change for batch in batches[10:]])
    assert contents(again.store) == contents(lane.store)
    assert (again.sequence, again.progress) == (lane.sequence, lane.progress)
    assert (again.watermark.value, again.watermark.max_event_times) == (
        61.0,
        lane.watermark.max_event_times,
    )
    events = [(60.0 + n, "abcd"[n % 4]) for n in range(8)]
    assert words(again.decide(slice_of(100, events))) == words(lane.decide(slice_of(100, events)))


def test_a_large_state_is_left_to_the_changelog() -> None:
    with_changelog = replace(SPEC, changelog=True, snapshot_max_bytes=64)
    for spec, count, kept in (
        (with_changelog, 2, True),
        (with_changelog, 3, False),
        (replace(with_changelog, changelog=False), 3, True),
    ):
        lane = Lane(0, spec)
        lane.decide(slice_of(0, [(50.0, "abc"[n]) for n in range(count)]))
        snapshot = lane.snapshot()
        assert (snapshot.keys is not None, snapshot.changelog) == (kept, spec.changelog)
    without_keys = replace(lane.snapshot(), keys=None)
    with pytest.raises(StateError, match="left the keys to the changelog"):
        Lane(0, SPEC).restore(without_keys)


@pytest.mark.parametrize(
    "stored, message",
    [
        (FINGERPRINT | {"DEDUP_WINDOW": "session"}, "^DEDUP_WINDOW was session when"),
        ({"DEDUP_WINDOW": FINGERPRINT["DEDUP_WINDOW"]}, "does not say which settings"),
    ],
)
def test_a_changed_setting_is_named(stored: dict[str, str], message: str) -> None:
    with pytest.raises(StateError, match=message):
        Lane(0, SPEC).restore(replace(Lane(0, SPEC).snapshot(), fingerprint=stored))


def test_the_mapper_opens_a_lane_once_and_after_a_restart_from_its_snapshot() -> None:
    opened: list[tuple[int, LaneSnapshot | None]] = []

    def open_lane(number: int, snapshot: LaneSnapshot | None) -> Lane:
        opened.append((number, snapshot))
        lane = Lane(number, SPEC)
        if snapshot is not None:
            lane.restore(snapshot)
        return lane

    decide = lane_mapper(open_lane)
    state, first = decide(None, slice_of(0, [(50, "a")]))
    state, second = decide(state, slice_of(1, [(50, "a")]))
    assert (words(first), words(second), opened) == ("u", "d0:0", [(0, None)])
    snapshot: Any = copy.deepcopy(state)
    assert isinstance(snapshot, LaneSnapshot)
    _, third = decide(snapshot, slice_of(2, [(50, "a")]))
    assert (words(third), len(opened), opened[1][1]) == ("d0:0", 2, snapshot)


def test_selected_rows_keep_every_column() -> None:
    whole = slice_of(0, [(1, "a"), (2, "b"), (3, "c")], invalid={2: ("json", "no")})
    whole.records = replace(
        whole.records,
        keys=[b"0", b"1", b"2"],
        headers=[None, [("h", b"1")], []],
        timestamps=np.arange(3),
    )
    whole.decided = replace(
        whole.decided,
        shards=np.arange(6, dtype=np.uint64).reshape(3, 2),
        types=EventTypes.of(["x", "y", "z"]),
        texts=np.array(["p", "q", "r"], object),
    )
    selected = select_rows(whole, np.array([False, True, True]))
    assert (selected.lane, selected.max_event_times) == (whole.lane, whole.max_event_times)
    assert selected.spans == Spans(whole.spans.spans, [2])
    records, decided = selected.records.take(selected.rows), selected.decided
    assert list(records.keys or ()) == [b"1", b"2"]
    assert list(records.headers or ()) == [[("h", b"1")], []]
    assert records.timestamps is not None
    assert (records.timestamps.tolist(), selected.offsets.tolist()) == ([1, 2], [1, 2])
    assert decided.invalid == {1: ("json", "no")}
    assert decided.types is not None
    assert decided.types.tolist() == ["y", "z"]
    for name in ("times", "running_max", "hashes", "shards", "texts"):
        np.testing.assert_array_equal(getattr(decided, name), getattr(whole.decided, name)[1:])


@pytest.mark.parametrize("partition, offset", [(0, 0), (3, 7), (0, 2**47 - 1), (65535, 2**47 - 1)])
def test_a_reference_names_partition_and_offset(partition: int, offset: int) -> None:
    (reference,) = references(partition, np.array([offset])).tolist()
    assert reference >= 0
    assert partition_and_offset(reference) == (partition, offset)


def test_differences_of_huge_times_are_numbers() -> None:
    lane = Lane(0, replace(SPEC, allowed_lateness_seconds=1e300))
    batch = lane.decide(slice_of(0, [(1e308, "a"), (-1e308, "b"), (-1.7e308, "c")]))
    assert words(batch) == "u l l"
    assert batch.behind[1:].tolist() == [1.7976931348623157e308] * 2
    lane = Lane(0, replace(SPEC, allowed_lateness_seconds=1e308))
    assert words(lane.decide(slice_of(0, [(-1e308, "a"), (-1.7e308, "b")]))) == "u u"
