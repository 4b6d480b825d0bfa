"""`make bench-similar`: near duplicates, ours beside all pairs and beside MinHash LSH.

Texts of 50, 200 and 1,000 characters, as many live as 1,000 records/s leave in 300 s;
a tenth of what comes is a live text with one letter changed.  Prints a table and
writes `bench/results/similar.json`.

What is timed begins with the text and ends with the verdict, one process and one
thread; `decided` begins with the JSON record and decides its key, too.  Rates are for
each second of CPU time, since other work goes on where this runs; the wall clock's
are beside them.  All pairs are timed with `_BRUTE_LIVE` live texts, and their rate
divided: the work is the same for each.  MinHash LSH holds `_LSH_LIVE` texts: filling
it takes that long.  Its recall is the share of our near duplicates (exact: the tests
prove it) that it finds, too.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
import psutil
from datasketch import MinHash, MinHashLSH
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cdist

from bench.harness.machine import write_results
from bench.harness.texts import KINDS, with_typos
from operators.batches import FILE, Batch, Records, Span
from operators.changes import NearRecords
from operators.decode.decoder import Decoder
from operators.decode.events import EventSpec
from operators.keys.combination import Combination
from operators.keys.paths import parse_keys
from operators.lanes.cut import cut
from operators.lanes.lane import Lane
from operators.lanes.spec import LaneSpec
from operators.similarity.buckets import chunks
from operators.similarity.index import NearIndex
from operators.similarity.near_duplicates import NearSpec
from operators.verdicts import DUPLICATE
from operators.windows.tumbling import TumblingStore

THRESHOLD = 0.95
SECONDS = 300.0
RATE = 1000.0
_LIVE = int(SECONDS * RATE)
_TYPOS = 0.1
_MEASURED = 10_000
_BRUTE_LIVE, _BRUTE_MEASURED = 5000, 20
_LSH_LIVE, _LSH_MEASURED = 10_000, 2000
_PERMUTATIONS = 128
_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Measured:
    """One line.  candidates: texts compared for one record.  found: near duplicates."""

    contender: str
    texts: str
    characters: int
    live: int
    records: int
    per_cpu_second: float
    per_second: float
    candidates: float
    found: int
    recall: float = 1.0
    capped: int = 0
    index_bytes_a_record: float = 0.0
    process_bytes_a_record: float = 0.0
    fill_per_cpu_second: float = 0.0


class Stopwatch:
    """CPU and wall time since it was made."""

    def __init__(self) -> None:
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def rates(self, records: int) -> tuple[float, float]:
        """Records for each second of CPU time, and of the clock."""
        cpu, wall = time.process_time() - self._cpu, time.perf_counter() - self._wall
        return round(records / cpu, 1), round(records / wall, 1)


def texts_of(kind: str, size: int, live: int, measured: int) -> list[str]:
    rng = random.Random(size)
    texts = KINDS[kind](live + measured, size, rng)
    with_typos(texts, live, _TYPOS, rng)
    return texts


def near_spec(metric: str) -> NearSpec:
    return NearSpec(THRESHOLD, metric, "3c", SECONDS, 10_000_000, one_shard=True)


def resident() -> int:
    return int(psutil.Process().memory_info().rss)


def fill(index: NearIndex, texts: list[str]) -> float:
    """Fill an index with texts, 1 / RATE apart; return records for each second of CPU time."""
    watch = Stopwatch()
    for begin in range(0, len(texts), 10_000):
        part = texts[begin : begin + 10_000]
        rows = np.arange(begin, begin + len(part))
        index.apply(NearRecords(rows / RATE, rows, np.zeros((len(part), 2), np.uint64), part))
    return watch.rates(len(texts))[0]


def ours(metric: str, kind: str, size: int, live: int, measured: int) -> Measured:
    texts = texts_of(kind, size, live, measured)
    before = resident()
    index = near_spec(metric).index()
    filled = fill(index, texts[:live])
    grown = resident() - before
    held = index.size_bytes() / len(index)
    coming, times = texts[live:], np.arange(live, live + measured) / RATE
    shards, rows = np.zeros((measured, 2), np.uint64), np.arange(live, live + measured)
    compared = found = 0
    watch = Stopwatch()
    for piece in chunks(coming):
        index.expire(times[piece.start] - SECONDS)
        search = index.search(coming[piece], times[piece], shards[piece], rows[piece])
        for place in range(piece.stop - piece.start):
            if search.find(place) is None:
                search.keep(place)
        found += piece.stop - piece.start - len(search.kept)
        compared += search.compared
        index.add(search)
    cpu, wall = watch.rates(measured)
    return Measured(
        contender=f"ours, {metric}",
        texts=kind,
        characters=size,
        live=live,
        records=measured,
        per_cpu_second=cpu,
        per_second=wall,
        candidates=round(compared / measured, 3),
        found=found,
        capped=index.capped,
        index_bytes_a_record=round(held),
        # The texts themselves were there before.
        process_bytes_a_record=round(grown / live + np.mean([len(text) + 49 for text in coming])),
        fill_per_cpu_second=filled,
    )


def decided(metric: str, kind: str, size: int, live: int, measured: int) -> Measured:
    """Ours from the JSON record to the verdict of its lane, key included."""
    texts = texts_of(kind, size, live, measured)
    spec = EventSpec(
        parse_keys([["event_id"]]), Combination(()), text_fields=("data.text",), lanes=1
    )
    decoder = Decoder(spec)
    near = near_spec(metric)
    lane = Lane(0, LaneSpec(partial(TumblingStore, 3600.0), SECONDS, 30.0, {}, near=near))
    assert lane.near is not None
    fill(lane.near, texts[:live])
    values = [
        json.dumps(
            {
                "event_id": f"event-{row:010d}",
                "user_id": f"user-{row % 1000}",
                "event_type": "posted",
                "timestamp": row / RATE,
                "data": {"text": text},
            }
        ).encode()
        for row, text in enumerate(texts[live:], live)
    ]
    found = 0
    watch = Stopwatch()
    for begin in range(0, measured, _BATCH):
        part = values[begin : begin + _BATCH]
        span = Span(FILE, begin, begin + len(part), 0.0)
        records = Records(np.arange(begin, begin + len(part)), part)
        (slice_,) = cut(decoder(Batch.of(span, records)), 1)
        found += int((lane.decide(slice_).verdicts == DUPLICATE).sum())
    cpu, wall = watch.rates(measured)
    return Measured(f"decided, {metric}", kind, size, live, measured, cpu, wall, math.nan, found)


def shingles(text: str) -> frozenset[str]:
    return frozenset(text[at : at + 3] for at in range(max(len(text) - 2, 1)))


def all_pairs(metric: str, kind: str, size: int, live: int, measured: int) -> Measured:
    """Compare each record with every live one."""
    del live, measured
    texts = texts_of(kind, size, _BRUTE_LIVE, _BRUTE_MEASURED)
    held, coming = texts[:_BRUTE_LIVE], texts[_BRUTE_LIVE:]
    sets = [shingles(text) for text in held] if metric == "jaccard" else []
    found = 0
    watch = Stopwatch()
    for text in coming:
        if metric == "jaccard":
            mine = shingles(text)
            best = max(len(mine & one) / len(mine | one) for one in sets)
        else:
            most = int((1 - THRESHOLD) * size) + 1
            distances = cdist([text], held, scorer=Levenshtein.distance, score_cutoff=most)
            best = (size - float(distances.min())) / size
        found += best >= THRESHOLD
    cpu, wall = watch.rates(_BRUTE_MEASURED)
    scale = _LIVE / _BRUTE_LIVE
    return Measured(
        f"all pairs, {metric}",
        kind,
        size,
        _LIVE,
        _BRUTE_MEASURED,
        round(cpu / scale, 3),
        round(wall / scale, 3),
        float(_LIVE),
        found,
    )


def min_hash(kind: str, size: int) -> Measured:
    """MinHash LSH of datasketch; what it proposes is compared exactly."""
    texts = texts_of(kind, size, _LSH_LIVE, _LSH_MEASURED)
    truth = _exactly(texts)
    lsh = MinHashLSH(threshold=THRESHOLD, num_perm=_PERMUTATIONS)
    sets: dict[int, frozenset[str]] = {}

    def hashed(row: int) -> MinHash:
        sets[row] = shingles(texts[row])
        made = MinHash(num_perm=_PERMUTATIONS)
        made.update_batch([shingle.encode() for shingle in sets[row]])
        return made

    watch = Stopwatch()
    for row in range(_LSH_LIVE):
        lsh.insert(row, hashed(row))
    filled = watch.rates(_LSH_LIVE)[0]
    compared = 0
    near: set[int] = set()
    watch = Stopwatch()
    for row in range(_LSH_LIVE, len(texts)):
        mine = hashed(row)
        candidates = lsh.query(mine)
        compared += len(candidates)
        if any(
            len(sets[row] & sets[one]) / len(sets[row] | sets[one]) >= THRESHOLD
            for one in candidates
        ):
            near.add(row)
        else:
            lsh.insert(row, mine)
    cpu, wall = watch.rates(_LSH_MEASURED)
    return Measured(
        contender="datasketch MinHash LSH, jaccard",
        texts=kind,
        characters=size,
        live=_LSH_LIVE,
        records=_LSH_MEASURED,
        per_cpu_second=cpu,
        per_second=wall,
        candidates=round(compared / _LSH_MEASURED, 3),
        found=len(near),
        recall=round(len(near & truth) / max(len(truth), 1), 4),
        fill_per_cpu_second=filled,
    )


def _exactly(texts: Sequence[str]) -> set[int]:
    """Rows that are near duplicates, of those after the first `_LSH_LIVE`."""
    index = near_spec("jaccard").index()
    fill(index, list(texts[:_LSH_LIVE]))
    found = set()
    for row in range(_LSH_LIVE, len(texts)):
        search = index.search(
            [texts[row]], np.array([row / RATE]), np.zeros((1, 2), np.uint64), np.array([row])
        )
        if search.find(0) is None:
            search.keep(0)
        else:
            found.add(row)
        index.add(search)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Near duplicates: speed, candidates, recall.")
    parser.add_argument("--characters", type=int, nargs="+", default=[50, 200, 1000])
    parser.add_argument("--texts", choices=KINDS, nargs="+", default=list(KINDS))
    parser.add_argument("--live", type=int, default=_LIVE)
    parser.add_argument("--records", type=int, default=_MEASURED)
    arguments = parser.parse_args()
    contenders: list[Callable[[str, str, int, int, int], Measured]] = [ours, decided, all_pairs]
    results: list[Measured] = []

    def show(measured: Measured) -> None:
        results.append(measured)
        print(
            f"{measured.contender:32} {measured.texts:9} {measured.characters:5} characters "
            f"{measured.per_cpu_second:10,.1f} records a CPU second "
            f"({measured.per_second:,.1f} a second)  {measured.candidates:10,.2f} candidates  "
            f"recall {measured.recall:.3f}",
            flush=True,
        )

    for kind in arguments.texts:
        for size in arguments.characters:
            for metric in ("jaccard", "levenshtein"):
                for contender in contenders:
                    show(contender(metric, kind, size, arguments.live, arguments.records))
            show(min_hash(kind, size))
    rows = [
        {name: None if value != value else value for name, value in asdict(one).items()}  # noqa: PLR0124 - NaN
        for one in results
    ]
    write_results("similar", {"threshold": THRESHOLD, "results": rows})


if __name__ == "__main__":
    main()
