"""A count of our own of what was unique, and of what duplicates say that they repeat.

It owes nothing to the job's code: the windows are written here once more, from their definition.
"""

import math
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from itertools import combinations, pairwise
from typing import Final, TypeAlias

from tests.drills.reader import Answer
from tests.drills.varied.drafts import Draft, within
from tests.drills.varied.setup import Setup
from tests.model import jaccard

_SHOWN: Final = 3
_SIMILAR: Final = "similar"
_SHINGLE: Final = "3c"  # what the job has by default

_Seen: TypeAlias = dict[tuple[int, Hashable], list[tuple[float, int]]]


def find_wrong(
    setup: Setup,
    drafts: Sequence[Draft],
    offsets: Sequence[int],
    answers: Mapping[int, Answer],
) -> list[str]:
    """What is wrong with the answers, a line for each kind with the first few of it.

    offsets: of each record in its partition.
    """
    kinds = {
        "unique twice in its window": list(_unique_twice(setup, drafts, answers)),
        "unique beside a near one": list(_near_twice(setup, drafts, answers)),
        "duplicate of nothing": list(_of_nothing(setup, drafts, offsets, answers)),
        "invalid by mistake": list(_invalid(drafts, answers)),
    }
    return [
        f"{kind}: {len(found)}, as {'; '.join(found[:_SHOWN])}"
        for kind, found in kinds.items()
        if found
    ]


def _unique_twice(
    setup: Setup, drafts: Sequence[Draft], answers: Mapping[int, Answer]
) -> Iterator[str]:
    """Keys that are unique twice in one window.

    Two of a session may be farther apart than the gap, where repeats between them made it longer:
    those are not looked for here, so that whatever is found is a fault.
    """
    unique: _Seen = defaultdict(list)
    for number, answer in answers.items():
        if answer.verdict == "unique":
            draft = drafts[number]
            for place, key in enumerate(draft.keys):
                unique[place, key].append((draft.time, number))
    for (place, key), seen in unique.items():
        seen.sort()
        # Of three in a window the neighbours are in it too.
        for (time, number), (later, another) in pairwise(seen):
            if within(setup, time, later):
                yield (
                    f"{setup.combinations[place]} {key}: records {number} at {time} and "
                    f"{another} at {later}"
                )


def _near_twice(
    setup: Setup, drafts: Sequence[Draft], answers: Mapping[int, Answer]
) -> Iterator[str]:
    """Near duplicates that are unique both; looked for among texts with an equal half."""
    if setup.similarity is None:
        return
    unique: dict[Hashable, list[int]] = defaultdict(list)
    for number, answer in answers.items():
        if answer.verdict == "unique":
            text = drafts[number].identity.text
            half = len(text) // 2
            unique["first", text[:half]].append(number)
            unique["second", text[half:]].append(number)
    for numbers in unique.values():
        for one, other in combinations(sorted(numbers), 2):
            if not _not_similar(setup, drafts[one], drafts[other]):
                yield f"records {one} and {other}, at {drafts[one].time} and {drafts[other].time}"


def _of_nothing(
    setup: Setup,
    drafts: Sequence[Draft],
    offsets: Sequence[int],
    answers: Mapping[int, Answer],
) -> Iterator[str]:
    """Duplicates whose original is not a unique record with the same key in the window."""
    if setup.state == "bloom":
        return  # a filter knows no original, and is wrong now and then
    numbers = {
        f"{draft.record.partition}:{offset}": number
        for number, (draft, offset) in enumerate(zip(drafts, offsets, strict=True))
    }
    names = {_name(one): place for place, one in enumerate(setup.combinations)}
    chains = _chains(setup, drafts, answers)
    for number, answer in answers.items():
        if answer.verdict != "duplicate":
            continue
        original = numbers.get(answer.original, -1)
        if original not in answers or answers[original].verdict != "unique":
            why = f"{answer.original}, which is not unique"
        elif answer.matched == _SIMILAR:
            why = _not_similar(setup, drafts[original], drafts[number])
        elif answer.matched not in names:
            why = f"combination {answer.matched!r}"
        else:
            why = _not_equal(setup, chains, names[answer.matched], drafts, (original, number))
        if why:
            yield f"record {number} at {drafts[number].time}: {why}"


def _not_equal(
    setup: Setup,
    chains: Mapping[tuple[int, int], int],
    place: int,
    drafts: Sequence[Draft],
    pair: tuple[int, int],
) -> str:
    original, number = pair
    one, other = drafts[original], drafts[number]
    if one.keys[place] != other.keys[place]:
        return f"record {original} has another key"
    if setup.window == "session":
        holds = chains[place, original] == chains[place, number]
    else:
        holds = within(setup, one.time, other.time)
    return "" if holds else f"record {original} at {one.time} is in another window"


def _chains(
    setup: Setup, drafts: Sequence[Draft], answers: Mapping[int, Answer]
) -> dict[tuple[int, int], int]:
    """(Combination, record) → the longest session that it can be in."""
    if setup.window != "session":
        return {}
    seen: _Seen = defaultdict(list)
    for number, answer in answers.items():
        if answer.verdict in {"unique", "duplicate"}:
            draft = drafts[number]
            for place, key in enumerate(draft.keys):
                seen[place, key].append((draft.time, number))
    found: dict[tuple[int, int], int] = {}
    chain = 0
    for (place, _), times in seen.items():
        before = -math.inf
        for time, number in sorted(times):
            chain += not within(setup, before, time)
            found[place, number] = chain
            before = time
        chain += 1
    return found


def _not_similar(setup: Setup, one: Draft, other: Draft) -> str:
    if setup.similarity is None:
        return "near duplicates are not looked for"
    if abs(one.time - other.time) > setup.similarity_seconds:
        return f"similar to a record at {one.time}, too long ago"
    if setup.shard is not None and one.identity.user != other.identity.user:
        return "similar to a record of another shard"
    measured = jaccard(_text(one), _text(other), _SHINGLE)
    if measured < setup.similarity:
        return f"similar to {one.identity.text}, by {measured:.3f} only"
    return ""


def _text(draft: Draft) -> str:
    """The data as canonical JSON."""
    return f'{{"order":"{draft.identity.order}","text":"{draft.identity.text}"}}'


def _invalid(drafts: Sequence[Draft], answers: Mapping[int, Answer]) -> Iterator[str]:
    for number, answer in answers.items():
        if math.isnan(drafts[number].time) != (answer.verdict == "invalid"):
            yield f"record {number} is {answer.verdict}"


def _name(combination: list[str] | str) -> str:
    return combination if isinstance(combination, str) else ",".join(combination)
