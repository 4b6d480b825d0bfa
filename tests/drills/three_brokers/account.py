"""What is in the input, compared with the outputs by topic, partition and offset."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from tests.drills.reader import NUMBER
from tests.integration.topics import Topics, read_topics
from tests.model import Record

Place: TypeAlias = "tuple[int, int]"
"""Partition and offset of an input record."""
_SHOWN: Final = 5


@dataclass(frozen=True)
class Account:
    """lost, doubled: input records without an answer, and with several."""

    lost: tuple[Place, ...]
    doubled: tuple[Place, ...]
    wrong: tuple[str, ...]

    @property
    def faults(self) -> list[str]:
        """Everything that is not as it should be, a few of each kind."""
        found = [f"{what}: {_few(places)}" for what, places in self._places() if places]
        return [*found, *self.wrong[:_SHOWN]]

    def _places(self) -> Iterable[tuple[str, tuple[Place, ...]]]:
        return (("not answered", self.lost), ("answered more than once", self.doubled))


def account_for(topics: Topics) -> Account:
    """Read the input and the outputs to their ends, committed records only, and compare them."""
    inputs = [record for _, record in read_topics(topics.bootstrap, [topics.input])]
    return compare(topics.input, inputs, topics.read())


def compare(
    topic: str, inputs: Iterable[Record], outputs: Mapping[str, Iterable[Record]]
) -> Account:
    """Compare; topic: the input's.  outputs: verdict → records.

    Every input record has a number among its headers, which all outputs keep.  A producer that
    lost its brokers may have written one twice: both are to be answered.  What is not unique must
    also name the place that the number has.
    """
    wrong: list[str] = []
    answers: Counter[Place] = Counter()
    places: dict[bytes | None, dict[Place, Record]] = {}
    for record in inputs:
        number = dict(record.headers or []).get(NUMBER)
        place = (record.partition, record.offset)
        if number is None:
            wrong.append(f"{place} of the input has no number")
        places.setdefault(number, {})[place] = record
        answers[place] = 0
    # Unique records do not say which place they answer: those that do come first.
    for verdict in sorted(outputs, key=lambda verdict: verdict == "unique"):
        for record in outputs[verdict]:
            headers = dict(record.headers or [])
            found = places.get(headers.get(NUMBER), {})
            where = f"{verdict} {record.partition}:{record.offset}"
            if not found:
                wrong.append(f"{where} answers no record of the input")
                continue
            place = min(found, key=lambda place: answers[place])
            if verdict != "unique":
                named = _named(headers)
                if named[0] == topic and named[1:] in found:
                    place = named[1:]
                else:
                    wrong.append(f"{where} names {named} and is {place} of {topic}")
            answers[place] += 1
            original = found[place]
            if (record.key, record.value) != (original.key, original.value):
                wrong.append(f"{where} is not what {place} of the input is")
    return Account(
        lost=tuple(place for place, count in answers.items() if count == 0),
        doubled=tuple(place for place, count in answers.items() if count > 1),
        wrong=tuple(wrong),
    )


def _named(headers: Mapping[str, bytes | None]) -> tuple[str, int, int]:
    """Topic, partition and offset by the headers that the job has added."""
    topic = headers.get("dedup.topic") or b""
    partition = headers.get("dedup.partition") or b"-1"
    return topic.decode(), int(partition), int(headers.get("dedup.offset") or b"-1")


def _few(places: tuple[Place, ...]) -> str:
    shown = ", ".join(f"{partition}:{offset}" for partition, offset in places[:_SHOWN])
    return f"{len(places)} ({shown}{', …' if len(places) > _SHOWN else ''})"
