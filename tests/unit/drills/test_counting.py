"""The count of the drills that vary finds what it is there for, and nothing where all is well."""

import random
from dataclasses import replace

import pytest

from tests.drills.reader import Answer
from tests.drills.varied.acts import draw_acts
from tests.drills.varied.counting import find_wrong
from tests.drills.varied.drafts import Draft, Identity
from tests.drills.varied.setup import Setup, draw_setup
from tests.model import Record

SETUP = replace(
    draw_setup(random.Random(1)),
    state="memory",
    window="tumbling",
    window_seconds=60.0,
    keys="event-id",
    similarity=None,
)
UNIQUE = Answer("unique")
TEXT = "0123456789abcdef" * 4


def draft(event_id: str, time: float, text: str = TEXT) -> Draft:
    identity = Identity(event_id, "u", "o", text)
    return Draft(Record(0, -1, None, None, None), identity, time, (event_id,))


def wrong(setup: Setup, *given: tuple[Draft, Answer]) -> list[str]:
    """What is wrong with records of one partition, in order of their offsets."""
    drafts = [one for one, _ in given]
    answers = {number: answer for number, (_, answer) in enumerate(given)}
    return find_wrong(setup, drafts, range(len(drafts)), answers)


def repeats(original: int, matched: str = "event_id") -> Answer:
    return Answer("duplicate", matched, f"0:{original}")


@pytest.mark.parametrize(
    "window, times, twice",
    [
        ("tumbling", (60.0, 119.9), True),
        ("tumbling", (59.9, 60.0), False),
        ("sliding", (59.9, 60.0), True),
        ("sliding", (0.0, 60.0), False),
        ("session", (100.0, 50.0), True),
        ("session", (0.0, 60.0), False),
        ("forever", (0.0, 1e9), True),
    ],
)
def test_a_key_that_is_unique_twice(window: str, times: tuple[float, float], twice: bool) -> None:
    setup = replace(SETUP, window=window)
    found = wrong(
        setup,
        (draft("a", times[0]), UNIQUE),
        (draft("b", times[1]), UNIQUE),
        (draft("a", times[1]), UNIQUE),
    )
    assert [line.partition(":")[0] for line in found] == ["unique twice in its window"] * twice


@pytest.mark.parametrize(
    "answer",
    [repeats(1), repeats(7), repeats(0, "user_id"), repeats(2), repeats(3)],
    ids=["another key", "not there", "not a combination", "not unique", "another window"],
)
def test_a_duplicate_of_nothing(answer: Answer) -> None:
    given = [
        (draft("a", 60.0), UNIQUE),
        (draft("b", 60.0), UNIQUE),
        (draft("a", 61.0), repeats(0)),
        (draft("a", 0.0), UNIQUE),
    ]
    assert not wrong(SETUP, *given, (draft("a", 62.0), repeats(0)))
    [line] = wrong(SETUP, *given, (draft("a", 62.0), answer))
    assert line.startswith("duplicate of nothing: 1, as record 4")


def test_a_session_goes_on_by_duplicates() -> None:
    setup = replace(SETUP, window="session")
    first, last = (draft("a", 0.0), UNIQUE), (draft("a", 100.0), repeats(0))
    assert not wrong(setup, first, (draft("a", 50.0), repeats(0)), last)
    assert wrong(setup, first, last)


def test_near_duplicates() -> None:
    setup = replace(SETUP, similarity=0.8, similarity_seconds=10.0, keys="event-id")
    near = TEXT[:5] + "-" + TEXT[6:]
    other = TEXT[::-1]
    assert not wrong(
        setup,
        (draft("a", 0.0), UNIQUE),
        (draft("b", 10.0, near), repeats(0, "similar")),
        (draft("c", 10.1, near), UNIQUE),
        (draft("d", 0.0, other), UNIQUE),
    )
    [line] = wrong(setup, (draft("a", 0.0), UNIQUE), (draft("b", 10.0, near), UNIQUE))
    assert line.startswith("unique beside a near one: 1")
    for time, text in ((10.1, near), (0.0, other)):
        assert wrong(
            setup, (draft("a", 0.0), UNIQUE), (draft("b", time, text), repeats(0, "similar"))
        )


def test_an_invalid_record_that_is_unique_and_a_good_one_that_is_invalid() -> None:
    bad = draft("a", float("nan"))
    assert not wrong(SETUP, (bad, Answer("invalid")))
    assert wrong(SETUP, (bad, UNIQUE))
    assert wrong(SETUP, (draft("a", 0.0), Answer("invalid")))


def test_seeds_are_the_same_every_time_and_legal() -> None:
    for seed in range(300):
        first, second = random.Random(seed), random.Random(seed)
        setup = draw_setup(first)
        acts = draw_acts(first, setup)
        again = draw_setup(second)
        assert (setup, acts) == (again, draw_acts(second, again))


def test_what_was_found_by_hand_has_a_fair_share_of_the_seeds() -> None:
    found = {"quiet with several workers a process": 0, "upgrade": 0, "backfill on disk": 0}
    seeds = 500
    for seed in range(seeds):
        draw = random.Random(f"varied {seed}")
        setup = draw_setup(draw)
        acts = draw_acts(draw, setup)
        found["upgrade"] += setup.upgrade
        found["backfill on disk"] += (
            (setup.story, setup.state) == ("backfill", "rocksdb")
            and setup.window != "forever"
            and any(act.ending == "point" for act in acts)
        )
        found["quiet with several workers a process"] += any(
            act.feed == "repeats" and act.processes > 1 and act.workers > 1 for act in acts
        )
    assert min(found.values()) > 0.15 * seeds, found
