"""What a seed draws: the settings of its job, and what its records are like."""

import json
import random
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

STORIES: Final = {"backfill": 0.45, "quiet": 0.4, "mixed": 0.15}
"""Story → share of the seeds; `story.py` says what happens in each."""

# Each fault that was found by hand once needs certain settings together.  The shares are such that
# a seed has them together more often than one time in seven.
_STATES: Final = {
    "backfill": {"rocksdb": 0.65, "memory": 0.25, "bloom": 0.1},
    "quiet": {"memory": 0.7, "bloom": 0.1, "rocksdb": 0.2},
    "mixed": {"memory": 0.5, "rocksdb": 0.4, "bloom": 0.1},
}
_WINDOWS: Final = {"tumbling": 0.4, "sliding": 0.25, "session": 0.25, "forever": 0.1}
# Records until event time has gone on by a window.  The first are fewer than a batch has.
_RECORDS_A_WINDOW: Final = {
    "backfill": (50, 200, 200, 500, 1_000, 5_000, 1_000_000),
    "quiet": (4_000, 20_000, 1_000_000),
    "mixed": (200, 1_000, 10_000, 1_000_000),
}
KEYS: Final[dict[str, tuple[list[list[str] | str], list[str] | None]]] = {
    "event-id": ([["event_id"]], None),
    "record-key": ([["@key"]], None),
    "content": (["content"], None),
    "two-fields-shared": ([["user_id", "event_id"], ["user_id", "data.order"]], None),
    "two-with-shard": ([["event_id"], ["data.order"]], ["user_id"]),
}
"""Name → `DEDUP_KEYS` and `DEDUP_SHARD_BY`; `drafts.py` has each record's values."""
# Two cores have enough to do with these.
_MOST_PROCESSES: Final = 5
_MOST_WORKERS: Final = 6


@dataclass(frozen=True)
class Setup:
    """The settings of a seed.

    records_a_window: records until event time has gone on by a window.  small_fetches: whether
    the job gets few records at a time.  upgrade: whether the first runs are of other code,
    with the same folder for what is compiled.
    """

    story: str
    state: str
    window: str
    window_seconds: float
    lateness_seconds: float
    idle_seconds: float
    records_a_window: int
    disorder_seconds: float
    lanes: int
    partitions: int
    keys: str
    similarity: float | None
    similarity_seconds: float
    statistics: bool
    recovery: bool
    snapshot_max_bytes: int | None
    commit_interval_ms: int
    trim_seconds: float
    small_fetches: bool
    upgrade: bool

    @property
    def step_seconds(self) -> float:
        """Event time from one record to the next."""
        return self.window_seconds / self.records_a_window

    @property
    def combinations(self) -> list[list[str] | str]:
        """`DEDUP_KEYS`."""
        return KEYS[self.keys][0]

    @property
    def shard(self) -> list[str] | None:
        """`DEDUP_SHARD_BY`, None where it is not set."""
        return KEYS[self.keys][1]

    def variables(self, folder: Path) -> dict[str, str]:
        """`DEDUP_*` variables besides those that name topics.

        folder: for state on disk.
        """
        found = {
            "DEDUP_STOP_AT_END": "false",
            "DEDUP_STATE": self.state,
            "DEDUP_STATE_DIR": str(folder / "state"),
            "DEDUP_WINDOW": self.window,
            "DEDUP_WINDOW_SECONDS": str(self.window_seconds),
            "DEDUP_ALLOWED_LATENESS_SECONDS": str(self.lateness_seconds),
            "DEDUP_IDLE_SECONDS": str(self.idle_seconds),
            "DEDUP_LANES": str(self.lanes),
            "DEDUP_KEYS": json.dumps(self.combinations),
            "DEDUP_COMMIT_INTERVAL_MS": str(self.commit_interval_ms),
            "DEDUP_TEST_TRIM_SECONDS": str(self.trim_seconds),
        }
        if self.shard is not None:
            found["DEDUP_SHARD_BY"] = json.dumps(self.shard)
        if self.similarity is not None:
            found["DEDUP_SIMILARITY"] = str(self.similarity)
            found["DEDUP_SIMILARITY_SECONDS"] = str(self.similarity_seconds)
        if self.snapshot_max_bytes is not None:
            found["DEDUP_SNAPSHOT_MAX_BYTES"] = str(self.snapshot_max_bytes)
        if self.small_fetches:
            found["DEDUP_CONSUMER"] = json.dumps({"fetch.message.max.bytes": 32_768})
        return found

    def __str__(self) -> str:
        return " ".join(f"{field.name}={getattr(self, field.name)}" for field in fields(self))


def draw_setup(draw: random.Random) -> Setup:
    """Draw the settings of a seed; all of them are legal together."""
    story = one_of(draw, STORIES)
    state = one_of(draw, _STATES[story])
    windows = _WINDOWS if state != "bloom" else {"tumbling": 0.7, "forever": 0.3}
    window_seconds = draw.choice((2.0, 60.0, 60.0, 3600.0))
    lateness = window_seconds * draw.choice((0.0, 0.1, 0.1, 0.5, 0.5, 0.5, 1.0, 5.0))
    # Near duplicates are searched for one by one, in a single lane unless there is a shard.
    similarity = 0.8 if story == "mixed" and state != "bloom" and draw.random() < 0.4 else None
    # Where no snapshot holds the keys a restart has them from the changelog alone.
    recovery = draw.random() < 0.65
    return Setup(
        story=story,
        state=state,
        window=one_of(draw, windows),
        window_seconds=window_seconds,
        lateness_seconds=lateness,
        idle_seconds=draw.choice((30.0, 30.0, 30.0, 30.0, 2.0)),
        records_a_window=draw.choice(_RECORDS_A_WINDOW[story]),
        disorder_seconds=lateness * draw.choice((0.0, 0.3, 0.9, 1.2)),
        lanes=draw.choice((1, 2, 2, 3, 4, 4, 8)),
        partitions=draw.choice((1, 1, 2, 3, 4)),
        keys=draw.choice(("event-id", "event-id", *KEYS)),
        similarity=similarity,
        similarity_seconds=window_seconds * draw.choice((0.5, 2.0)),
        statistics=draw.random() < 0.3,
        recovery=recovery,
        snapshot_max_bytes=draw.choice((0, 0, 20_000, None)),
        commit_interval_ms=draw.choice((10, 100, 100, 400)),
        trim_seconds=draw.choice((0.2, 0.2, 1.5)),
        small_fetches=draw.random() < 0.4,
        upgrade=state == "memory" and draw.random() < 0.35,
    )


def draw_cluster(draw: random.Random, setup: Setup, *, apart: bool = False) -> tuple[int, int]:
    """Draw a number of processes, and of workers in each: at most two workers a lane in all.

    apart: rather such that the sink of some lane may be on another worker than its state.
    """
    legal = [
        (processes, workers)
        for processes in range(1, _MOST_PROCESSES + 1)
        for workers in (1, 2, 3)
        if processes * workers <= min(2 * setup.lanes, _MOST_WORKERS)
    ]
    several = [one for one in legal if one[0] > 1 and one[1] > 1]
    if apart and several:
        return draw.choice(several)
    # One process is what most people run, and starts soonest.
    return (1, 1) if draw.random() < 0.4 else draw.choice(legal)


def one_of(draw: random.Random, shares: dict[str, float]) -> str:
    """Draw a name by its share."""
    return draw.choices(list(shares), list(shares.values()))[0]
