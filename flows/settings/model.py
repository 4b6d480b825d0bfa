"""The settings: one field for each, with its type, default, limits and meaning.

`flows.settings.load` makes them, and refuses settings that conflict.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from flows.settings import values
from flows.settings.kafka_properties import Scalar, masked
from operators.keys.combination import Combination
from operators.keys.paths import CONTENT, parse_time, resolve_shard
from operators.windows.kinds import WindowName

# Each lane costs a producer and its threads.  Kafka itself allows far more transactional ids.
_MAX_LANES = 256
# At the end of each epoch Bytewax writes the whole snapshot of each lane and reads nothing
# meanwhile: about 12 ms a megabyte.  A restart reads larger states from the changelog, which
# takes some seconds for half a million keys, but only then.
_SNAPSHOT_MAX_BYTES = 256 * 1024
# Times are float64 epoch seconds: shorter windows would be below their rounding error.
_MIN_WINDOW_SECONDS = 0.001
# Statistics windows are timedeltas since 1970: longer ones leave the calendar.
_MAX_STATS_SECONDS = 1e9
# A broker ends a transaction after transaction.timeout.ms, which is 60 s by default.
_MAX_COMMIT_INTERVAL_MS = 60_000

_Whole = Annotated[int, BeforeValidator(values.not_bool)]
_Number = Annotated[float, Field(allow_inf_nan=False), BeforeValidator(values.not_bool)]
_Seconds = Annotated[_Number, Field(ge=0)]
_Window = Annotated[_Number, Field(ge=_MIN_WINDOW_SECONDS)]
_Topic = Annotated[str, AfterValidator(values.topic)]
_DroppableTopic = Annotated[str, AfterValidator(values.droppable_topic)]
_OptionalTopic = Annotated[_Topic | None, BeforeValidator(values.none_if_empty)]
_Properties = Annotated[dict[str, Scalar], BeforeValidator(values.properties)]
_Path = Annotated[Path, BeforeValidator(values.path)]


class Settings(BaseModel):
    """All settings, immutable; each value is checked on its own.

    Fields have the names of the YAML file, except `event_schema`, which is `schema` there.
    `load_settings` also checks the values against each other.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    app_id: Annotated[str, AfterValidator(values.app_id)] = "dedup"
    """Names the application: transactional ids, changelog topic, consumer group."""
    brokers: Annotated[
        Annotated[str, AfterValidator(values.brokers)] | None,
        BeforeValidator(values.none_if_empty),
    ] = None
    """`host:port,…`; unset means embedded mode."""
    input_topic: _Topic = "raw-events"
    """Where records are read."""
    unique_topic: _Topic = "deduplicated-events"
    """Where unique records go."""
    duplicate_topic: _DroppableTopic = "duplicates-dlq"
    """Where duplicates go; empty: count and drop."""
    late_topic: _DroppableTopic = "late-events"
    """Where late records go; empty: count and drop."""
    invalid_topic: _Topic = "invalid-events"
    """Where invalid records go; never dropped."""
    create_topics: bool = True
    """Create missing output topics (never the input; existing ones are never altered)."""
    start: Literal["earliest", "latest"] = "earliest"
    """Where a new application begins."""
    stop_at_end: bool = False
    """Stop at the offsets that were the end of the input when the run began."""
    kafka: _Properties = Field(default={})
    """librdkafka settings (SASL, TLS, …) for the consumer and the producer."""
    consumer: _Properties = Field(default={})
    """librdkafka settings for the consumer only."""
    producer: _Properties = Field(default={})
    """librdkafka settings for the producer only."""
    input_file: Annotated[str, BeforeValidator(values.path)] = "-"
    """Embedded mode: JSON lines; `-` is stdin."""
    output_dir: _Path = Path("out")
    """Embedded mode: folder of `unique.jsonl`, `duplicate.jsonl`, `late.jsonl`, `invalid.jsonl`."""
    guarantee: Literal["exactly_once", "at_least_once"] = "exactly_once"
    """After a crash: every record is written once, or some are written again."""
    commit_interval_ms: Annotated[_Number, Field(ge=1, le=_MAX_COMMIT_INTERVAL_MS)] = 100.0
    """Exactly once: how long a decided event waits at most for its transaction to commit."""
    lanes: Annotated[_Whole, Field(ge=1, le=_MAX_LANES)] = 4
    """Upper bound of useful workers; fixed for the life of an application id."""
    keys: Annotated[tuple[Combination, ...], BeforeValidator(values.keys)] = (
        Combination(("event_id",)),
    )
    """Key combinations, each a list of field paths or `content`."""
    content_ignore: Annotated[tuple[str, ...], BeforeValidator(values.content_ignore)] = (
        "event_id",
        "timestamp",
    )
    """Top-level fields left out of the content hash."""
    shard_by: Annotated[tuple[str, ...] | None, BeforeValidator(values.shard_by)] = None
    """Fields whose values duplicates share; unset: the fields that all combinations share."""
    time: Annotated[str, AfterValidator(parse_time)] = "timestamp"
    """Path of the event time, or `@record`."""
    event_schema: Literal["event", "open"] = Field(default="event", alias="schema")
    """`event`: the five fields are required and typed; `open`: any JSON object."""
    window: WindowName = "tumbling"
    """Kind of window in which a key counts as seen."""
    window_seconds: _Window = 3600.0
    """Length of the window; session: the gap."""
    allowed_lateness_seconds: _Seconds = 300.0
    """How far behind the watermark an event may be without being late."""
    idle_seconds: Annotated[_Number, Field(gt=0)] = 30.0
    """A partition read to its end, without data for this long, does not hold the watermark back."""
    max_future_seconds: _Seconds = 86_400.0
    """Event time further ahead of the wall clock than this is invalid."""
    state: Literal["memory", "rocksdb", "bloom"] = "memory"
    """Where keys are held."""
    state_dir: _Path = Path("state")
    """Folder of the rocksdb files."""
    snapshot_max_bytes: Annotated[_Whole, Field(ge=0)] = _SNAPSHOT_MAX_BYTES
    """Exactly once: maximum size of a recovery snapshot that holds a lane's keys."""
    max_keys: Annotated[_Whole, Field(ge=1)] = 10_000_000
    """Maximum number of keys that the application holds; each lane holds an equal part."""
    eviction: Literal["oldest", "lru"] = "oldest"
    """Which keys are evicted first when there are too many."""
    bloom_error: Annotated[_Number, Field(gt=0, lt=1)] = 0.001
    """Target false-positive rate of the bloom state."""
    similarity: Annotated[
        Annotated[_Number, Field(gt=0, le=1)] | None, BeforeValidator(values.none_if_empty)
    ] = None
    """Events that are at least this similar are near duplicates; unset: no search for them."""
    similarity_metric: Literal["jaccard", "levenshtein"] = "jaccard"
    """How similarity is measured."""
    similarity_shingle: Annotated[str, AfterValidator(values.shingle)] = "3c"
    """jaccard's shingles: `Nc` character n-grams, `Nw` word n-grams."""
    similarity_fields: Annotated[tuple[str, ...], BeforeValidator(values.event_fields)] = ("data",)
    """Fields that are compared."""
    similarity_seconds: _Window = 300.0
    """How far back near duplicates are searched for."""
    stats_topic: _OptionalTopic = None
    """Where windowed statistics go; unset: no statistics."""
    stats_seconds: Annotated[_Window, Field(le=_MAX_STATS_SECONDS)] = 60.0
    """Length of the statistics windows."""
    metrics_port: Annotated[
        Annotated[_Whole, Field(ge=1, le=65_535)] | None, BeforeValidator(values.metrics_port)
    ] = None
    """Port of /metrics, /livez and /readyz; process I of a cluster uses port + I."""
    log: Literal["text", "json"] = "text"
    """Format of the log lines."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest level that is logged."""

    @property
    def embedded(self) -> bool:
        """Whether the job reads and writes files, not Kafka."""
        return self.brokers is None

    @property
    def shard(self) -> Combination:
        """The fields, or the content, that choose a record's lane; neither means one shard.

        Raises NoCommonFieldError if the keys share no field and `shard_by` names none:
        `load_settings` refuses such settings.
        """
        if self.shard_by is None and self.similarity is not None:
            return Combination(())  # Near duplicates need not share any field.
        return resolve_shard(self.keys, self.content_ignore, self.shard_by)

    def effective(self) -> dict[str, Any]:
        """Return the settings as a YAML file would hold them, with secrets masked.

        `shard_by` is the list of fields that is in effect, None if it is the content.
        """
        shown = {name: _plain(getattr(self, field)) for name, field in FIELD_OF.items()}
        shown["shard_by"] = None if self.shard.content else list(self.shard.fields)
        return shown

    def __repr_args__(self) -> Any:  # noqa: ANN401 - pydantic's signature
        """Mask secrets where the object is printed or logged."""
        return self.effective().items()


FIELD_OF = {field.alias or name: name for name, field in Settings.model_fields.items()}
"""Name of a setting in a YAML file → its field in Settings."""


def _plain(value: Any) -> Any:  # noqa: ANN401 - any setting's value
    """Turn a value into a type that YAML and JSON have."""
    if isinstance(value, Combination):
        return CONTENT if value.content else list(value.fields)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return masked(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
