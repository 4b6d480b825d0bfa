"""Single values: from text or YAML to a checked value.

Each function takes text (from the environment) or a value that YAML has parsed.  It
raises ValueError with a text that says what to write instead.  In such a text `<app_id>`
stands for the setting, by the name that the user gave it: `DEDUP_APP_ID` or `app_id`.
"""

from __future__ import annotations

import json
import re

from flows.settings.kafka_properties import Scalar, parse_properties
from operators.keys.combination import RECORD_KEY, Combination
from operators.keys.paths import parse_event_path, parse_keys, parse_paths

# Kafka's own rule for topic names; it also refuses "." and "..".
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
# Topics and transactional ids are named after it: "-changelog" must still fit.
_APP_ID = re.compile(r"[A-Za-z0-9._-]{1,200}")
_BROKER = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[^\s:,/\[\]]+):([0-9]{1,5})")
_SHINGLE = re.compile(r"[1-9][0-9]*[cw]", re.ASCII)
_MAX_PORT = 65_535


def none_if_empty(value: object) -> object:
    """Read empty text as unset: compose files write `${NAME:-}` for an unset variable."""
    return None if isinstance(value, str) and not value.strip() else value


def not_bool(value: object) -> object:
    """Keep YAML's `true` and `yes` from passing as the number 1."""
    return str(value) if isinstance(value, bool) else value


def brokers(value: str) -> str:
    """Check `host:port,…` and return it without blanks."""
    addresses = [address.strip() for address in value.split(",")]
    for address in addresses:
        match = _BROKER.fullmatch(address)
        if match is None or not 0 < int(match[1]) <= _MAX_PORT:
            msg = f"has {address!r} where host:port belongs, as in kafka-1:9092,kafka-2:9092"
            raise ValueError(msg)
    return ",".join(addresses)


def metrics_port(value: object) -> object:
    """Explain the value that Kubernetes sets for a service named `dedup-metrics`."""
    if isinstance(value, str) and value.startswith("tcp://"):
        msg = (
            "was set by Kubernetes for a service of that name: set enableServiceLinks: false in "
            "the pod, or set the port yourself"
        )
        raise ValueError(msg)
    return none_if_empty(value)


def app_id(value: str) -> str:
    """Check an application id."""
    if not _APP_ID.fullmatch(value):
        msg = "must be 1 to 200 of the characters a-z A-Z 0-9 . _ - (topics are named after it)"
        raise ValueError(msg)
    return value


def topic(value: str) -> str:
    """Check a topic's name."""
    if not _TOPIC.fullmatch(value) or value in {".", ".."}:
        msg = "must be a topic name: 1 to 249 of the characters a-z A-Z 0-9 . _ -"
        raise ValueError(msg)
    return value


def droppable_topic(value: str) -> str:
    """Check a topic's name; it may be empty: its records are then counted and dropped."""
    return value and topic(value)


def path(value: object) -> object:
    """Refuse an empty path, which would mean the working directory."""
    if isinstance(value, str) and (not value.strip() or "\0" in value):
        msg = "must be a path"
        raise ValueError(msg)
    return value


def shingle(value: str) -> str:
    """Check the length and unit of shingles."""
    if not _SHINGLE.fullmatch(value):
        msg = "must be a length and c (characters) or w (words), as in 3c or 2w"
        raise ValueError(msg)
    return value


def keys(value: object) -> tuple[Combination, ...]:
    """Read the key combinations."""
    return parse_keys(_from_json(value, '[["event_id"]]'))


def shard_by(value: object) -> tuple[str, ...] | None:
    """Read the fields of the shard; None means that they follow from the keys."""
    if value is None:
        return None
    if isinstance(value, str) and value.strip() == RECORD_KEY:
        return (RECORD_KEY,)
    example = '["user_id"], or @key, or [] for one shard'
    parsed = _from_json(value, example)
    if parsed == RECORD_KEY:
        return (RECORD_KEY,)
    if not isinstance(parsed, list | tuple):
        msg = f"must be a list of field paths, as in {example}"
        raise ValueError(msg)  # noqa: TRY004 - pydantic collects ValueError only
    return parse_paths(parsed)


def content_ignore(value: object) -> tuple[str, ...]:
    """Read names of top-level fields; a dot is part of a name here."""
    example = '["event_id","timestamp"]'
    parsed = _from_json(value, example)
    if not isinstance(parsed, list | tuple) or not all(
        isinstance(name, str) and name for name in parsed
    ):
        msg = f"must be a list of names of top-level fields, as in {example}"
        raise ValueError(msg)
    return tuple(dict.fromkeys(parsed))


def event_fields(value: object) -> tuple[str, ...]:
    """Read a list of at least one field path; `@key` and headers are refused."""
    parsed = parse_paths(_from_json(value, '["data"]'))
    if not parsed:
        msg = 'must name at least one field, as in ["data"]'
        raise ValueError(msg)
    return tuple(parse_event_path(path) for path in parsed)


def properties(value: object) -> dict[str, Scalar]:
    """Read an object of librdkafka settings."""
    return parse_properties(_from_json(value, '{"security.protocol":"SSL"}'))


def _from_json(value: object, example: str) -> object:
    """Parse text as JSON; return values that YAML has parsed as they are."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value, object_pairs_hook=_without_repeats, parse_constant=_no_constant)
    except _RepeatedNameError:
        raise
    except (ValueError, RecursionError):
        msg = f"is not JSON: write it like {example} (single quotes around it in a shell)"
        raise ValueError(msg) from None


class _RepeatedNameError(ValueError):
    """A JSON object has the same name twice."""


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        msg = f"has {repeated!r} twice: leave one out"
        raise _RepeatedNameError(msg)
    return members


def _no_constant(name: str) -> float:
    msg = f"{name} is not JSON"
    raise ValueError(msg)
