"""Generated events, and their text: about 190 bytes of JSON, written without an encoder."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import product
from typing import Literal

EVENT_TYPES = (
    "created",
    "paid",
    "packed",
    "shipped",
    "delivered",
    "returned",
    "item_added",
    "item_removed",
)

_ADJECTIVES = ("blue", "green", "large", "small", "folding", "vintage", "striped", "wooden")
_MATERIALS = ("ceramic", "cotton", "bamboo", "leather", "copper", "linen", "marble", "felt")
_THINGS = ("coffee mug", "desk lamp", "notebook", "backpack", "tea towel", "wall clock")
_TAILS = ("with lid", "gift wrapped", "set of two", "for travel", "spare part")

PHRASES = tuple(" ".join(words) for words in product(_ADJECTIVES, _MATERIALS, _THINGS, _TAILS))
"""Texts of `data.text`: short enough for the size, and not similar to each other."""

# The same seconds are written again and again.  A day of them takes little memory.
_MAX_CACHED = 100_000


@dataclass(slots=True)
class Event:
    """The fields of an event.  time: milliseconds since the epoch.  price: a JSON number."""

    id: str
    user: str
    type: str
    time: int
    order: str
    price: str
    text: str


def typo(text: str, draw: float) -> str:
    """Type one letter of a text twice.

    draw: a random number from [0, 1) that chooses the letter.  The text grows by one
    character, so `data` stays more than 0.95 similar by both metrics.
    """
    letters = [position for position, letter in enumerate(text) if letter.isalpha()]
    position = letters[int(draw * len(letters))]
    return text[: position + 1] + text[position:]


class Writer:
    """Writes events as JSON text."""

    def __init__(self, time_format: Literal["epoch", "rfc3339"]) -> None:
        self._rfc3339 = time_format == "rfc3339"
        self._seconds: dict[int, str] = {}

    def time(self, milliseconds: int) -> str:
        """Write a time, milliseconds since the epoch, as a JSON value."""
        seconds, rest = divmod(milliseconds, 1000)
        if not self._rfc3339:
            return f"{seconds}.{rest:03d}"
        text = self._seconds.get(seconds)
        if text is None:
            if len(self._seconds) >= _MAX_CACHED:
                self._seconds.clear()
            moment = datetime.fromtimestamp(seconds, timezone.utc)
            text = self._seconds[seconds] = moment.strftime("%Y-%m-%dT%H:%M:%S")
        return f'"{text}.{rest:03d}Z"'

    def __call__(self, event: Event, time: str | None = None) -> str:
        """Write an event.  time: another JSON value for `timestamp`."""
        return (
            f'{{"event_id":"{event.id}","user_id":"{event.user}","event_type":"{event.type}",'
            f'"timestamp":{time or self.time(event.time)},"data":{{"order_id":"{event.order}",'
            f'"price":{event.price},"text":"{event.text}"}}}}'
        )
