"""Conflicts: settings that are valid alone but not together.

In the texts `<keys>` stands for a setting, by the name that the user gave it:
`DEDUP_KEYS` or `keys`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from flows.settings.model import Settings
from operators.keys.paths import NoCommonFieldError, needs_kafka
from operators.windows.kinds import KINDS

# In memory each key of a lane has a 32-bit number and a 32-bit stamp of its arrival.  When the
# stamps run out, half of them are used again (operators/windows/key_table/table.py).
_MAX_KEYS_PER_LANE = 2**31
_IN_BUCKETS = " or ".join(name for name, kind in KINDS.items() if kind.in_buckets)


class Conflict(NamedTuple):
    """A setting that conflicts with another one, and what to do about it."""

    setting: str
    text: str


def find_conflicts(settings: Settings) -> list[Conflict]:
    """Check settings against each other; return what conflicts, at most once a setting."""
    return list(
        chain(
            _without_kafka(settings) if settings.embedded else _topics(settings),
            _lanes(settings),
            _state(settings),
        )
    )


def _without_kafka(settings: Settings) -> Iterator[Conflict]:
    paths_of = {
        "keys": [path for key in settings.keys for path in key.fields],
        "shard_by": settings.shard_by or (),
        "time": (settings.time,),
    }
    for setting, paths in paths_of.items():
        for path in filter(needs_kafka, paths):
            yield Conflict(
                setting,
                f"has {path}, which Kafka records have, but lines of a file do not; set <brokers>, "
                "or name fields of the event",
            )
            break
    for verdict in ("unique", "duplicate", "late", "invalid"):
        output = settings.output_dir / f"{verdict}.jsonl"
        if Path(settings.input_file).absolute() == output.absolute():
            yield Conflict("input_file", "is also an output in <output_dir>; change one of them")


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
                "is the topic of <input_topic> too, so that the job would read its own output; "
                "name another topic",
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
        settings.shard  # noqa: B018 - only to see whether it raises
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
    if settings.state == "memory" and settings.max_keys // settings.lanes > _MAX_KEYS_PER_LANE:
        yield Conflict(
            "max_keys",
            f"must be at most {_MAX_KEYS_PER_LANE} times <lanes> with <state>=memory: lower it, "
            "raise <lanes>, or use another state",
        )
    if settings.state == "rocksdb" and settings.embedded:
        yield Conflict("state", "needs Kafka and its changelog; set <brokers>, or use memory")
    elif settings.state == "rocksdb" and settings.guarantee != "exactly_once":
        yield Conflict("state", "needs <guarantee> to be exactly_once; set that, or use memory")
    if settings.state == "bloom" and not KINDS[settings.window].in_buckets:
        yield Conflict(
            "state",
            f"does not store when a key was seen, which this <window> needs; use {_IN_BUCKETS}, or "
            "another state",
        )
    elif settings.state == "bloom" and settings.max_keys >= settings.lanes:
        yield from _bloom(settings)


def _bloom(settings: Settings) -> Iterator[Conflict]:
    # Imported here because its compiled loops are slow to load.
    from operators.windows.bloom import check_error  # noqa: PLC0415
    from operators.windows.bound import Bound  # noqa: PLC0415

    try:
        check_error(Bound(settings.max_keys // settings.lanes), settings.bloom_error)
    except ValueError as error:
        yield Conflict(
            "bloom_error",
            f"is too small for <max_keys>: {error}; raise it, lower <max_keys>, or raise <lanes>",
        )
