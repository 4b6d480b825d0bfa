"""How a record becomes times and keys, and the schema `event`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, StrictFloat, StrictInt, StrictStr, ValidationError

from operators.keys.combination import Combination

EVENT_FIELDS = ("event_id", "user_id", "event_type", "timestamp", "data")


@dataclass(frozen=True, slots=True)
class EventSpec:
    """How records are read.

    combinations: the keys, in the order in which they are tried.
    shard: the fields whose values duplicates share; no fields and no content: one shard.
    time: field path of the event time, or `@record`.
    content_ignore: top-level fields left out of the content.
    text_fields: field paths of the text for near duplicates; empty: no near duplicates.
    max_future_seconds: how far event time may be ahead of the wall clock.
    lanes: number of lanes, ≥ 1.
    types: whether to read the event type of each record, for statistics.
    format: of the values, a name in operators/decode/formats.py.
    """

    combinations: tuple[Combination, ...]
    shard: Combination
    time: str = "timestamp"
    schema: Literal["event", "open"] = "event"
    content_ignore: frozenset[str] = frozenset(("event_id", "timestamp"))
    text_fields: tuple[str, ...] = ()
    max_future_seconds: float = 86_400.0
    lanes: int = 4
    types: bool = False
    format: str = "json"


class _Event(BaseModel):
    """The schema `event`; used only to explain what is wrong with a rejected event."""

    model_config = ConfigDict(extra="ignore")

    event_id: StrictStr
    user_id: StrictStr
    event_type: StrictStr
    timestamp: StrictInt | StrictFloat | StrictStr
    data: dict[str, Any]


def is_event(event: dict[str, object]) -> bool:
    """Tell whether an event has the five fields, each of the right JSON type."""
    timestamp = event.get("timestamp")
    return (
        isinstance(event.get("event_id"), str)
        and isinstance(event.get("user_id"), str)
        and isinstance(event.get("event_type"), str)
        # Any other value that `decode_json` returns is a number or a string.
        and not isinstance(timestamp, bool | dict | list | None)
        and isinstance(event.get("data"), dict)
    )


def explain(event: dict[str, object]) -> str:
    """Say in words why an event does not fit the schema."""
    try:
        _Event.model_validate(event)
    except ValidationError as error:
        return "; ".join(
            f"{detail['loc'][0]}: {detail['msg'][0].lower()}{detail['msg'][1:]}"
            for detail in error.errors(include_url=False, include_input=False)
        )
    return "not an event"
