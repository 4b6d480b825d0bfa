"""Settings against each other: what does not go together.

In these texts `<keys>` stands for a setting, by the name under which the user
knows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from operators.keys.paths import NoCommonFieldError, needs_kafka
from operators.windows.kinds import KINDS

if TYPE_CHECKING:
    from flows.settings.model import Settings

# In memory a lane numbers its keys with 32 bits, and with as many when each came: of these
# numbers half are given out again (operators/windows/key_table/table.py).
_MOST_KEYS_A_LANE = 2**31
_IN_BUCKETS = " or ".join(name for name, kind in KINDS.items() if kind.in_buckets)


class Conflict(NamedTuple):
    """A setting that does not go with another one, and what to do about it."""

    setting: str
    text: str


class ConflictError(ValueError):
    """Settings are right one by one but not together."""

    def __init__(self, misfits: Sequence[Conflict]) -> None:
        """misfits: at least one."""
        super().__init__("; ".join(f"{setting}: {text}" for setting, text in misfits))
        self.misfits = tuple(misfits)


def find_conflicts(settings: Settings) -> list[Conflict]:
    """Check settings against each other; return what does not fit, in order of the table."""
    return list(
        chain(
            _without_kafka(settings) if settings.embedded else _topics(settings),
            _lanes(settings),
            _state(settings),
        )
    )


def _without_kafka(settings: Settings) -> Iterator[Conflict]:
    named = {
        "keys": [path for key in settings.keys for path in key.fields],
        "shard_by": settings.shard_by or (),
        "time": (settings.time,),
    }
    for setting, paths in named.items():
        for path in filter(needs_kafka, paths):
            yield Conflict(
                setting,
                f"has {path}, which only a Kafka record has, not a line; set <brokers>, or "
                "name fields of the event",
            )
            break
    for verdict in ("unique", "duplicate", "late", "invalid"):
        output = settings.output_dir / f"{verdict}.jsonl"
        if Path(settings.input_file).absolute() == output.absolute():
            yield Conflict(
                "input_file", "is an output in <output_dir> too; name another of the two"
            )


def _topics(settings: Settings) -> Iterator[Conflict]:
    owner = {settings.input_topic: "input_topic"}
    changelog = f"{settings.app_id}-changelog"
    for setting in (
        "unique_topic",
        "duplicate_topic",
        "late_topic",
        "invalid_topic",
        "stats_topic",
    ):
        topic = getattr(settings, setting)
        if not topic:
            continue
        other = owner.setdefault(topic, setting)
        if other == "input_topic":
            yield Conflict(
                setting,
                "is the topic of <input_topic> too, so that the job would read what it wrote; name "
                "another topic",
            )
        elif other != setting:
            yield Conflict(
                setting,
                f"is the topic of <{other}> too, so that nobody could tell the records apart; name "
                "another topic",
            )
    if changelog in owner:
        yield Conflict(
            owner[changelog], "is the changelog topic made from <app_id>; name another topic"
        )


def _lanes(settings: Settings) -> Iterator[Conflict]:
    try:
        settings.shard  # noqa: B018 - asked whether it can be told
    except NoCommonFieldError:
        yield Conflict(
            "shard_by",
            "must be set, since the combinations of <keys> have no field in common: name fields "
            'whose values duplicates share, as in ["user_id"], or @key if they share the record '
            "key, or [] for one lane that sees everything",
        )
    if settings.max_keys < settings.lanes:
        yield Conflict("max_keys", "must be at least <lanes>: every lane holds an equal part")
    elif settings.max_keys < settings.lanes * len(settings.keys):
        yield Conflict(
            "max_keys",
            "must be at least <lanes> times the combinations of <keys>: every lane holds an equal "
            "part, and a record has a key of each combination",
        )


def _state(settings: Settings) -> Iterator[Conflict]:
    if settings.state == "memory" and settings.max_keys // settings.lanes > _MOST_KEYS_A_LANE:
        yield Conflict(
            "max_keys",
            f"must be at most {_MOST_KEYS_A_LANE} times <lanes> with <state>=memory: make it "
            "smaller, take more lanes, or another state",
        )
    if settings.state == "rocksdb" and settings.embedded:
        yield Conflict("state", "needs Kafka and its changelog; set <brokers>, or use memory")
    elif settings.state == "rocksdb" and settings.guarantee != "exactly_once":
        yield Conflict("state", "needs <guarantee> to be exactly_once; set that, or use memory")
    if settings.state == "bloom" and not KINDS[settings.window].in_buckets:
        yield Conflict(
            "state",
            f"cannot tell when a key was seen, which this <window> asks; use {_IN_BUCKETS}, or "
            "another state",
        )
    elif settings.state == "bloom" and settings.max_keys >= settings.lanes:
        yield from _bloom(settings)


def _bloom(settings: Settings) -> Iterator[Conflict]:
    # Compiled loops come with it: not for everybody who reads settings.
    from operators.windows.bloom import check_error  # noqa: PLC0415
    from operators.windows.bound import Bound  # noqa: PLC0415

    try:
        check_error(Bound(settings.max_keys // settings.lanes), settings.bloom_error)
    except ValueError as error:
        yield Conflict(
            "bloom_error",
            f"is too small for <max_keys>: {error}; set it larger, or <max_keys> lower, or more "
            "<lanes>",
        )
