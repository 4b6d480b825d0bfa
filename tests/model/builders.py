"""Settings, records and verdicts as the model's tests write them."""

import json
from typing import Any

from tests.model import (
    Model,
    Record,
    Settings,
    Verdict,
)

NOW = 1000.0
OPEN = Settings(schema="open", keys=(("id",),), time="t", window_seconds=10, lateness=1e6)
EVENT: dict[str, Any] = {
    "event_id": "e",
    "user_id": "u",
    "event_type": "click",
    "timestamp": 1,
    "data": {},
}


def record(value: object, partition: int = 0, offset: int = 0, **more: Any) -> Record:  # noqa: ANN401
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return Record(partition, offset, more.pop("key", None), text, **more)


def verdicts(settings: Settings, *events: dict[str, Any]) -> list[Verdict]:
    """The verdicts on events of partition 0, at offsets 0, 1, 2 …."""
    model = Model(settings, {0})
    return [
        model.decide(record(event, offset=offset), now=NOW) for offset, event in enumerate(events)
    ]


def decided(settings: Settings, *events: tuple[float, object]) -> str:
    """One word an event, (time, id): `u` unique, `l` late, `d0` duplicate of offset 0."""
    words = []
    for verdict in verdicts(settings, *[{"t": time, "id": name} for time, name in events]):
        original = "" if verdict.original is None else str(verdict.original[1])
        words.append(verdict.kind[0] + original)
    return " ".join(words)
