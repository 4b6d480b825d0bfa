"""What the index holds, for whom, and for how long."""

import math
import random
import struct
import sys

import numpy as np
import pytest

from operators.changes import NearRecords
from operators.errors import SettingsError
from operators.similarity.levenshtein import LevenshteinSimilarity
from operators.similarity.near_duplicates import NearSpec
from tests.texts import generated_texts, real_texts
from tests.unit.operators.similarity.test_brute_force import Metric, ask, make_index

_METRICS: list[Metric] = ["jaccard", "levenshtein"]
_TEXT = "the quick brown fox jumps over the lazy dog"


@pytest.mark.parametrize("metric", _METRICS)
def test_near_in_event_time_both_ways(metric: Metric) -> None:
    index = make_index(0.95, metric, seconds=10)
    assert ask(index, [_TEXT], [100.0]) == [None]
    assert ask(index, [_TEXT] * 2, [110.0, 90.0]) == [(1.0, 0)] * 2
    after = math.nextafter(110.0, math.inf)
    assert ask(index, [_TEXT], [after]) == [None]
    assert ask(index, [_TEXT], [math.nextafter(90.0, 0.0)]) == [None]


def test_the_most_similar_then_the_first_decided() -> None:
    index = make_index(0.5)
    texts = ["abcdefghij", "abcdefgXYZ", "abcdefghiX"]
    assert ask(index, texts[:2]) == [None, None]
    (answer,) = ask(index, [texts[2]])
    assert answer is not None
    assert answer[1] == 0
    index = make_index(0.1)
    ask(index, ["abcd____", "____wxyz"])
    assert ask(index, ["abcdwxyz"]) == [(2 / 9, 0)]
    index = make_index(0.1)
    # The one decided first, though it is the later one in event time.
    ask(index, ["abcd____", "____wxyz"], [50.0, 10.0])
    assert ask(index, ["abcdwxyz"], [11.0]) == [(2 / 9, 0)]


@pytest.mark.parametrize("metric", _METRICS)
def test_only_with_the_same_shard(metric: Metric) -> None:
    index = make_index(0.95, metric)
    assert ask(index, [_TEXT] * 4, shards=[1, 2, 1, 3]) == [None, None, (1.0, 0), None]
    # Shards are told apart by all 128 bits.
    assert ask(index, [_TEXT] * 2, shards=[2**63 + 1, 1]) == [None, (1.0, 0)]


@pytest.mark.parametrize("metric", _METRICS)
def test_nothing_is_dropped_that_could_still_match(metric: Metric) -> None:
    index = make_index(0.95, metric, seconds=10)
    ask(index, [_TEXT], [100.0])
    index.expire(110.0)
    assert not index.is_expired(100.0, 110.0)
    assert ask(index, [_TEXT], [110.0]) == [(1.0, 0)]
    later = math.nextafter(110.0, math.inf)
    assert index.is_expired(100.0, later)
    index.expire(later)
    assert len(index) == 0
    assert index.size_bytes() == 0


@pytest.mark.parametrize("metric", _METRICS)
def test_what_is_held_makes_the_same_index_again(metric: Metric) -> None:
    rng = random.Random(2)
    texts = generated_texts(300, rng) + real_texts(300, rng)
    rng.shuffle(texts)
    times = np.array([rng.uniform(0, 2000) for _ in texts])
    shards = np.array([rng.randrange(3) for _ in texts])
    whole = make_index(0.8, metric)
    expected = ask(whole, texts, times, shards)
    half = make_index(0.8, metric)
    ask(half, texts[:300], times[:300], shards[:300])
    again = make_index(0.8, metric)
    again.apply(NearRecords.unpack(half.records().pack()))
    assert len(again) == len(half)
    assert again.packed_bytes() == half.packed_bytes()
    answers = ask(again, texts[300:], times[300:], shards[300:])
    # References of this second half begin at 0 again.
    assert [None if a is None else a[0] for a in answers] == [
        None if a is None else a[0] for a in expected[300:]
    ]
    originals = [a[1] for a in expected[300:] if a is not None]
    found = [a[1] for a in answers if a is not None]
    assert all(one in {other, other - 300} for one, other in zip(found, originals, strict=True))


def test_past_the_bound_the_oldest_are_evicted() -> None:
    index = NearSpec(0.95, "jaccard", "3c", 10, 100, one_shard=True).index()
    texts = [f"text number {number} of many, {number * 7919}" for number in range(300)]
    ask(index, texts, np.arange(300.0))
    assert len(index) <= 100
    assert index.evicted == 300 - len(index)
    assert ask(index, texts[-1:], [299.0]) == [(1.0, 299)]


def test_a_packed_record_that_is_not_one() -> None:
    packed = NearRecords(
        np.array([1.5]), np.array([7]), np.array([[1, 2]], np.uint64), ["é😀"]
    ).pack()
    assert NearRecords.unpack(packed).texts == ["é😀"]
    for broken in (packed[:-1], packed + b"x", b"", packed[:10]):
        with pytest.raises((ValueError, struct.error)):
            NearRecords.unpack(broken)


def test_levenshtein_without_rapidfuzz_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rapidfuzz.distance.Levenshtein", None)
    monkeypatch.setitem(sys.modules, "rapidfuzz.distance", None)
    monkeypatch.setitem(sys.modules, "rapidfuzz", None)
    with pytest.raises(SettingsError, match=r"extra `similarity`.*bytewax-dedup\[similarity\]"):
        LevenshteinSimilarity(0.95)
    NearSpec(0.95, "jaccard", "3c", 10, 100, one_shard=True).index()


@pytest.mark.parametrize("length", [60, 500, 1000, 3000])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.7, 1.0])
def test_a_piece_is_found_wherever_edits_have_moved_it(length: int, share: float) -> None:
    measure = LevenshteinSimilarity(0.95)
    rng = random.Random(length)
    text = "".join(rng.choices("abcdefghijklmnop", k=length))
    edits = max(int(length * 0.05 * share), 1)
    longer = "".join(rng.choices("qrstuvwxyz", k=edits)) + text
    for original, other, lost in ((text, longer, 0), (longer, text, edits)):
        features = measure.read([original, other])
        asked = set(features.probes.hashes[features.probes.rows == 1].tolist())
        for offered in features.offered:
            chunks = set(offered.hashes[offered.rows == 0].tolist())
            # One edit leaves all pieces but one as they were.
            assert len(chunks - asked) <= lost
            assert len(chunks) > lost
