"""The names of lanes, against Bytewax's own routing."""

import math
import os
import subprocess
import sys
import threading
from collections import Counter
from typing import Any

import bytewax.operators as op
import numpy as np
import pytest
from bytewax.dataflow import Dataflow
from bytewax.inputs import DynamicSource, StatelessSourcePartition
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition
from bytewax.testing import cluster_main

from operators.lanes.placement import EVEN_WORKERS, lane_names, lanes_on, siphash13

LANES = 8


def _workers(names: tuple[str, ...], workers: int) -> list[int]:
    """Worker of each name, as Bytewax finds it."""
    hashes = siphash13([name.encode() for name in names])
    return [int(word) % workers for word in hashes]


@pytest.mark.parametrize("workers", range(1, LANES + 1))
def test_no_worker_has_more_than_its_share_of_eight_lanes(workers: int) -> None:
    lanes_of = Counter(_workers(lane_names(LANES), workers))
    assert max(lanes_of.values()) <= math.ceil(LANES / workers)
    assert len(lanes_of) == workers


@pytest.mark.parametrize("lanes", [1, 2, 3, 4, 5, 7, 10, 12, 32])
def test_lane_i_goes_to_worker_i_mod_w(lanes: int) -> None:
    names = lane_names(lanes)
    for workers in range(1, min(lanes, EVEN_WORKERS) + 1):
        assert _workers(names, workers) == [lane % workers for lane in range(lanes)]


@pytest.mark.parametrize("workers", [1, 4, 11, 40])
def test_every_lane_is_on_one_worker(workers: int) -> None:
    """However many there are; more than names are made for get them unevenly."""
    found = [lanes_on(32, workers, [worker]) for worker in range(workers)]
    assert sorted(lane for lanes in found for lane in lanes) == list(range(32))
    assert [lanes.count(lane) for lane, lanes in enumerate(found)]


def test_names_are_sorted_and_differ() -> None:
    for lanes in (1, 8, 256):  # as many as the settings allow
        names = lane_names(lanes)
        assert len(set(names)) == lanes
        assert list(names) == sorted(names)


def test_names_are_never_changed() -> None:
    """State and transactional ids of running applications hang on them."""
    assert lane_names(4) == (
        "lane-000-00000006",
        "lane-001-00000026",
        "lane-002-00000004",
        "lane-003-00000000",
    )


@pytest.mark.skipif(
    sys.hash_info.algorithm != "siphash13", reason="Python before 3.11 hashes with SipHash-2-4"
)
@pytest.mark.parametrize("length", [1, 6, 7, 8, 17, 40])
def test_siphash_is_that_of_another_implementation(length: int) -> None:
    """Without a seed Python hashes bytes with SipHash-1-3 and zero keys, too."""
    names = [os.urandom(length) for _ in range(50)]
    code = "import sys; print(*[hash(bytes.fromhex(t) + b'\\xff') for t in sys.argv[1:]])"
    answer = subprocess.run(
        [sys.executable, "-c", code, *[name.hex() for name in names]],
        env={**os.environ, "PYTHONHASHSEED": "0"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert siphash13(names).astype(np.int64).tolist() == list(map(int, answer.stdout.split()))


class _EveryLane(DynamicSource[tuple[str, int]]):
    """Each worker gives every lane an item, and says which thread it is."""

    def __init__(self, worker_of: dict[int, int]) -> None:
        self._worker_of = worker_of

    def build(self, step_id: str, worker_index: int, worker_count: int) -> "_EveryLanePartition":
        del step_id, worker_count
        self._worker_of[threading.get_ident()] = worker_index
        return _EveryLanePartition()


class _EveryLanePartition(StatelessSourcePartition[tuple[str, int]]):
    def __init__(self) -> None:
        self._batches = [[(name, lane) for lane, name in enumerate(lane_names(LANES))]]

    def next_batch(self) -> list[tuple[str, int]]:
        if not self._batches:
            raise StopIteration
        return self._batches.pop()


class _WhereSink(FixedPartitionedSink[tuple[str, int], None]):
    """One partition a lane, as the Kafka sink has it; remembers where each was built."""

    def __init__(self, built: dict[str, int]) -> None:
        self._built = built

    def list_parts(self) -> list[str]:
        return list(lane_names(LANES))

    def part_fn(self, item_key: str) -> int:
        return lane_names(LANES).index(item_key)

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "_WherePartition":
        del step_id, resume_state
        self._built[for_part] = threading.get_ident()
        return _WherePartition()


class _WherePartition(StatefulSinkPartition[tuple[str, int], None]):
    def write_batch(self, values: list[tuple[str, int]]) -> None:
        pass

    def snapshot(self) -> None:
        return None


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_bytewax_routes_states_and_sink_partitions_so(workers: int) -> None:
    worker_of: dict[int, int] = {}
    decided: dict[str, set[int]] = {}
    written: dict[str, int] = {}

    def where(state: Any, lane: int) -> tuple[None, tuple[str, int]]:  # noqa: ANN401
        decided.setdefault(lane_names(LANES)[lane], set()).add(threading.get_ident())
        return None, ("", lane)

    flow = Dataflow("where")
    items = op.input("in", flow, _EveryLane(worker_of))
    op.output("out", op.stateful_map("decide", items, where), _WhereSink(written))
    cluster_main(flow, [], 0, worker_count_per_proc=workers)  # type: ignore[no-untyped-call]

    names = lane_names(LANES)
    assert sorted(worker_of.values()) == list(range(workers))
    expected = [{lane % workers} for lane in range(LANES)]
    assert [{worker_of[thread] for thread in decided[name]} for name in names] == expected
    assert [{worker_of[written[name]]} for name in names] == expected
