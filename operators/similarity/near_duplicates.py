"""Rule 3 (duplicate) with near duplicates: keys first, then texts, record by record."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from operators.batches import DecisionColumns
from operators.changes import Delta, NearRecords
from operators.columns.arrays import Floats, Hashes, Ints
from operators.columns.first_occurrences import first_occurrences
from operators.columns.references import NO_REFERENCE
from operators.similarity.buckets import chunks
from operators.similarity.index import NearIndex
from operators.similarity.jaccard import Jaccard
from operators.similarity.levenshtein import LevenshteinSimilarity
from operators.similarity.signatures import Measure
from operators.verdicts import Matches
from operators.windows.key_table.batch_repeats import shares_key
from operators.windows.store import KeyStore

SIMILAR = "similar"
"""Value of `dedup.matched` for near duplicates, after the names of the combinations."""


@dataclass(frozen=True, slots=True)
class NearSpec:
    """How near duplicates are found.

    threshold: in (0, 1].  metric: `jaccard` or `levenshtein`.  shingle: `Nc` or `Nw`.
    seconds: largest distance in event time.  max_records: bound of the index.
    one_shard: whether all records are of one shard.
    """

    threshold: float
    metric: str
    shingle: str
    seconds: float
    max_records: int
    one_shard: bool

    def index(self) -> NearIndex:
        """Make an empty index.  Raises SettingsError if it needs rapidfuzz, which is missing."""
        measure: Measure
        if self.metric == "levenshtein":
            measure = LevenshteinSimilarity(self.threshold)
        else:
            measure = Jaccard(self.threshold, self.shingle)
        return NearIndex(measure, self.seconds, self.max_records)

    def shards(self, decided: DecisionColumns) -> Hashes:
        """Return the 128-bit hash of each record's shard; zeros if there is only one shard."""
        if decided.shards is not None:
            return decided.shards
        return np.zeros_like(decided.hashes[:, 0]) if self.one_shard else decided.hashes[:, 0]


@dataclass(slots=True)
class UndecidedRecords:
    """Records to decide, in their order: columns with one row for each record.

    hashes: shape (n, combinations, 2).  times: event times.  shards: shape (n, 2).
    """

    hashes: Hashes
    times: Floats
    references: Ints
    shards: Hashes
    texts: list[str]


@dataclass(slots=True)
class NearDecision:
    """The decision on some records.

    matches: a near duplicate matches the combination after the last.  similarity: of near
    duplicates, NaN elsewhere.  deltas: what was added to the store and to the index.
    """

    matches: Matches
    similarity: Floats
    deltas: list[Delta] = field(default_factory=list)

    @property
    def delta(self) -> Delta:
        """All deltas in one."""
        return Delta.concat(self.deltas)


class _KeyMatcher:
    """Decides some of the records by their keys; adds the result to a decision."""

    def __init__(self, store: KeyStore, records: UndecidedRecords, decision: NearDecision) -> None:
        self._store = store
        self._records = records
        self._decision = decision

    def repeats(self, rows: Ints) -> Ints:
        """Return those rows that repeat a key of the store, each on its own."""
        if not len(rows):
            return rows
        repeated = self._store.repeats(self._records.hashes[rows], self._records.times[rows])
        return rows[repeated]

    def decide(self, rows: Ints, *, unique: bool) -> None:
        """Let the store decide rows that are known to be all unique, or all repeats."""
        if not len(rows):
            return
        records, decision = self._records, self._decision
        matches, delta = self._store.decide(
            records.hashes[rows], records.times[rows], records.references[rows]
        )
        if not unique:
            decision.matches.combination[rows] = matches.combination
            decision.matches.originals[rows] = matches.originals
        decision.deltas.append(delta)


def decide_near(store: KeyStore, index: NearIndex, records: UndecidedRecords) -> NearDecision:
    """Match records by their keys, then by their texts; add the unique ones to both.

    A near duplicate is not unique: its keys are not added, not even for later records of
    the same batch.  So records that share a key with another one of the batch are decided
    one by one; the store decides all others together.
    """
    count, combinations = records.hashes.shape[:2]
    matches = Matches(np.full(count, -1, np.int8), np.full(count, NO_REFERENCE, np.int64))
    decision = NearDecision(matches, np.full(count, np.nan))
    keys = _KeyMatcher(store, records, decision)
    shared = shares_key(first_occurrences(records.hashes.reshape(-1, 2)), combinations)
    repeats = keys.repeats(np.flatnonzero(~shared))
    keys.decide(repeats, unique=False)
    undecided = np.ones(count, np.bool_)
    undecided[repeats] = False
    left = np.flatnonzero(undecided)
    texts = [records.texts[row] for row in left.tolist()]
    added: list[NearRecords] = []
    unique: list[int] = []
    for chunk in chunks(texts):
        rows = left[chunk]
        search = index.search(
            texts[chunk], records.times[rows], records.shards[rows], records.references[rows]
        )
        for place, row in enumerate(rows.tolist()):
            single = rows[place : place + 1]
            if shared[row] and len(keys.repeats(single)):
                keys.decide(single, unique=False)
                continue
            near = search.find(place)
            if near is not None:
                matches.combination[row] = combinations
                matches.originals[row] = near.reference
                decision.similarity[row] = near.similarity
                continue
            search.keep(place)
            if shared[row]:
                keys.decide(single, unique=True)
            else:
                unique.append(row)
        added.append(index.add(search))
    keys.decide(np.array(unique, np.int64), unique=True)
    if any(map(len, added)):
        decision.deltas.append(Delta.of_texts(NearRecords.concat(added)))
    return decision
