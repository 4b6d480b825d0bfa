"""Records of a drill that varies, and what its own count has to know of each."""

import json
import math
import random
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from tests.drills.reader import NUMBER
from tests.drills.varied.setup import Setup
from tests.model import Record

_BEGIN: Final = 1_700_000_000.0
_USERS: Final = 17
_TEXT_LENGTH: Final = 60
_INVALID: Final = 0.01
_REPEATS: Final = 0.45
_FARTHEST: Final = 4_000
_LATE: Final = 0.02


@dataclass(frozen=True)
class Identity:
    """What a repeat takes over from the record that it repeats.  text: of the data."""

    event_id: str
    user: str
    order: str
    text: str


@dataclass(frozen=True)
class Draft:
    """A record and what is known of it.

    time: event time, NaN for an invalid record.  keys: one for each combination.
    """

    record: Record
    identity: Identity
    time: float
    keys: tuple[Hashable, ...]


class Drafts:
    """Makes records: new ones, repeats of each combination, near duplicates, late, invalid."""

    def __init__(self, setup: Setup, draw: random.Random) -> None:
        self.made: list[Draft] = []
        self._setup = setup
        self._draw = draw
        self._clock = _BEGIN + draw.uniform(0.0, setup.window_seconds)
        self._largest = -math.inf

    def some(self, count: int) -> Iterable[Draft]:
        """Make records of all kinds while event time goes on."""
        for _ in range(count):
            self._clock += self._setup.step_seconds
            yield self._next()

    def repeats(self, of: Sequence[int], count: int) -> Iterable[Draft]:
        """Repeat records that are unique by number, each within its window, and none late."""
        times = {number: self._again_at(self.made[number].time) for number in of}
        held = [number for number, time in times.items() if time is not None]
        self._draw.shuffle(held)
        for place in range(count if held else 0):
            number = held[place % len(held)]
            time = times[number]
            assert time is not None
            yield self._made(self.made[number].identity, time)

    def _next(self) -> Draft:
        draw, setup = self._draw, self._setup
        time = self._clock - draw.uniform(0.0, setup.disorder_seconds)
        if draw.random() < _LATE:
            time -= setup.lateness_seconds + setup.window_seconds * draw.random()
        if draw.random() < _INVALID:
            return self._made(self._new(), math.nan)
        if not self.made or draw.random() > _REPEATS:
            return self._made(self._new(), time)
        farthest = min(len(self.made), 2 * setup.records_a_window, _FARTHEST)
        # Near ones as often as far ones.
        distance = int(farthest ** draw.random())
        old = self.made[-distance]
        if draw.random() < 0.3 and not math.isnan(old.time):
            time = old.time + draw.uniform(-0.1, 0.1) * setup.window_seconds
        return self._made(self._varied(old.identity), time)

    def _again_at(self, time: float) -> float | None:
        """An event time at which a record is a repeat and not late; None where there is none."""
        setup = self._setup
        if math.isnan(time):
            return None
        again = max(time, self._largest - 0.9 * setup.lateness_seconds)
        return again if within(setup, time, again) else None

    def _new(self) -> Identity:
        number = len(self.made)
        text = f"{self._draw.getrandbits(4 * _TEXT_LENGTH):0{_TEXT_LENGTH}x}"
        return Identity(f"e{number}", f"u{number % _USERS}", f"o{number}", text)

    def _varied(self, old: Identity) -> Identity:
        """Repeat a record wholly, by its order only, or nearly."""
        kind = self._draw.random()
        new = self._new()
        if kind < 0.2 and len(self._setup.combinations) > 1:
            return Identity(new.event_id, old.user, old.order, new.text)
        if kind < 0.5 and self._setup.similarity is not None:
            place = self._draw.randrange(_TEXT_LENGTH)
            text = f"{old.text[:place]}-{old.text[place + 1 :]}"
            return Identity(new.event_id, old.user, new.order, text)
        return old

    def _made(self, identity: Identity, time: float) -> Draft:
        number = len(self.made)
        time = round(time, 3)
        event = {
            "event_id": identity.event_id,
            "user_id": identity.user,
            "event_type": "placed",
            "timestamp": "never" if math.isnan(time) else time,
            "data": {"order": identity.order, "text": identity.text},
        }
        record = Record(
            partition=number % self._setup.partitions,
            offset=-1,
            key=identity.event_id.encode(),
            value=json.dumps(event).encode(),
            headers=[(NUMBER, b"%d" % number)],
        )
        if not math.isnan(time):
            self._largest = max(self._largest, time)
        draft = Draft(record, identity, time, _keys(self._setup.keys, identity))
        self.made.append(draft)
        return draft


def within(setup: Setup, one: float, other: float) -> bool:
    """Whether two event times of a key are in one window, for a session as its only two."""
    if setup.window == "forever":
        return True
    if setup.window == "tumbling":
        return math.floor(one / setup.window_seconds) == math.floor(other / setup.window_seconds)
    return abs(one - other) < setup.window_seconds


def _keys(name: str, identity: Identity) -> tuple[Hashable, ...]:
    one = identity
    values: dict[str, tuple[Hashable, ...]] = {
        "event-id": (one.event_id,),
        "record-key": (one.event_id,),
        "content": ((one.user, one.order, one.text),),
        "two-fields-shared": ((one.user, one.event_id), (one.user, one.order)),
        "two-with-shard": (one.event_id, one.order),
    }
    return values[name]
