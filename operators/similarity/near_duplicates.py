"""Rule 3 with near duplicates: keys first, then texts, record by record."""

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
"""What `dedup.matched` says of near duplicates; after the names of the combinations."""


@dataclass(frozen=True, slots=True)
class NearSpec:
    """How near duplicates are looked for.

    threshold: in (0, 1].  metric: `jaccard` or `levenshtein`.  shingle: `Nc` or `Nw`.
    seconds: how far away in event time.  max_records: more are not held.
    one_shard: whether everything is one shard.
    """

    threshold: float
    metric: str
    shingle: str
    seconds: float
    max_records: int
    one_shard: bool

    def index(self) -> NearIndex:
        """Make an empty index.  Raises SettingsError if rapidfuzz is needed and missing."""
        measure: Measure
        if self.metric == "levenshtein":
            measure = LevenshteinSimilarity(self.threshold)
        else:
            measure = Jaccard(self.threshold, self.shingle)
        return NearIndex(measure, self.seconds, self.max_records)

    def shards(self, decided: DecisionColumns) -> Hashes:
        """128-bit hash of each record's shard, zeros if there is but one."""
        if decided.shards is not None:
            return decided.shards
        return np.zeros_like(decided.hashes[:, 0]) if self.one_shard else decided.hashes[:, 0]


@dataclass(slots=True)
class UndecidedRecords:
    """Records to be decided, in their order: keys, times, references, shards, texts."""

    hashes: Hashes
    times: Floats
    references: Ints
    shards: Hashes
    texts: list[str]


@dataclass(slots=True)
class NearDecision:
    """What was decided.

    matches: near duplicates count as the combination after the last.  similarity: of
    near duplicates, NaN elsewhere.  delta: what was added to keys and index.
    """

    matches: Matches
    similarity: Floats
    deltas: list[Delta] = field(default_factory=list)

    @property
    def delta(self) -> Delta:
        """What was added, in one."""
        return Delta.concat(self.deltas)


class _Keys:
    """Matches some of the records by their keys, adds those that are new, and notes both."""

    def __init__(self, store: KeyStore, asked: UndecidedRecords, decision: NearDecision) -> None:
        self._store = store
        self._asked = asked
        self._decision = decision

    def repeats(self, rows: Ints) -> Ints:
        """Which of some rows repeat a key, each for itself."""
        if not len(rows):
            return rows
        found = self._store.repeats(self._asked.hashes[rows], self._asked.times[rows])
        return rows[found]

    def decide(self, rows: Ints, *, unique: bool) -> None:
        """Have the store decide rows of which it is known that they are unique or repeats."""
        if not len(rows):
            return
        asked, decision = self._asked, self._decision
        hashes, times, references = asked.hashes[rows], asked.times[rows], asked.references[rows]
        found, delta = self._store.decide(hashes, times, references)
        if not unique:
            decision.matches.combination[rows] = found.combination
            decision.matches.originals[rows] = found.originals
        decision.deltas.append(delta)


def decide_near(store: KeyStore, index: NearIndex, asked: UndecidedRecords) -> NearDecision:
    """Match records by their keys, the others by their texts; add the unique ones to both.

    A near duplicate is not unique: its keys are not added, for later records of the
    same batch either.  Records that share no key with another of the batch cannot
    tell: the store decides them together, the others one by one.
    """
    count, combinations = asked.hashes.shape[:2]
    matches = Matches(np.full(count, -1, np.int8), np.full(count, NO_REFERENCE, np.int64))
    decision = NearDecision(matches, np.full(count, np.nan))
    keys = _Keys(store, asked, decision)
    shared = shares_key(first_occurrences(asked.hashes.reshape(-1, 2)), combinations)
    known = keys.repeats(np.flatnonzero(~shared))
    keys.decide(known, unique=False)
    new = np.ones(count, np.bool_)
    new[known] = False
    left = np.flatnonzero(new)
    texts = [asked.texts[row] for row in left.tolist()]
    added: list[NearRecords] = []
    unique: list[int] = []
    for piece in chunks(texts):
        rows = left[piece]
        search = index.search(
            texts[piece], asked.times[rows], asked.shards[rows], asked.references[rows]
        )
        for place, row in enumerate(rows.tolist()):
            one = rows[place : place + 1]
            if shared[row] and len(keys.repeats(one)):
                keys.decide(one, unique=False)
                continue
            near = search.find(place)
            if near is not None:
                matches.combination[row] = combinations
                matches.originals[row] = near.reference
                decision.similarity[row] = near.similarity
                continue
            search.keep(place)
            if shared[row]:
                keys.decide(one, unique=True)
            else:
                unique.append(row)
        added.append(index.add(search))
    keys.decide(np.array(unique, np.int64), unique=True)
    if any(map(len, added)):
        decision.deltas.append(Delta.of_texts(NearRecords.concat(added)))
    return decision
