"""What goes into the model and what comes out."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Keys: TypeAlias = "tuple[tuple[str, ...] | Literal['content'], ...]"
Kind: TypeAlias = Literal["unique", "duplicate", "late", "invalid"]


@dataclass(frozen=True)
class Settings:
    """The settings that decide a verdict, with the defaults of docs/reference/settings.md.

    shard_by: None stands for the default.  It then adds nothing to the keys: records that match by
    any combination share those fields anyway; for near duplicates the default is one shard.
    """

    keys: Keys = (("event_id",),)
    content_ignore: tuple[str, ...] = ("event_id", "timestamp")
    time: str = "timestamp"
    schema: Literal["event", "open"] = "event"
    window: Literal["tumbling", "sliding", "session", "forever"] = "tumbling"
    window_seconds: float = 3600.0
    lateness: float = 300.0
    max_future: float = 86400.0
    similarity: float | None = None
    similarity_metric: Literal["jaccard", "levenshtein"] = "jaccard"
    shingle: str = "3c"
    similarity_fields: tuple[str, ...] = ("data",)
    similarity_seconds: float = 300.0
    shard_by: tuple[str, ...] | Literal["@key"] | None = None


@dataclass(frozen=True)
class Record:
    """An input record; timestamp_ms is None where the broker has none."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]] | None = None
    timestamp_ms: int | None = None


@dataclass(frozen=True)
class Verdict:
    """What became of a record; members that do not apply are None.

    reason: of an invalid record.  late_by: seconds behind the watermark.  original: partition and
    offset of the unique record it repeats.
    """

    kind: Kind
    reason: str | None = None
    matched: str | None = None
    original: tuple[int, int] | None = None
    similarity: float | None = None
    late_by: float | None = None
