"""The account finds what is lost, doubled, or not what it says it is."""

from dataclasses import replace

from tests.drills.reader import NUMBER
from tests.drills.three_brokers.account import Account, compare
from tests.model import Record

TOPIC = "in"


def record(offset: int, number: int, partition: int = 0) -> Record:
    return Record(partition, offset, b"k", b"v%d" % number, [(NUMBER, b"%d" % number)])


def duplicate(of: Record, topic: str = TOPIC) -> Record:
    """What a duplicate of a record looks like in its topic."""
    added: list[tuple[str, bytes | None]] = [
        ("dedup.verdict", b"duplicate"),
        ("dedup.topic", topic.encode()),
        ("dedup.partition", b"%d" % of.partition),
        ("dedup.offset", b"%d" % of.offset),
    ]
    return replace(of, headers=[*(of.headers or []), *added])


INPUTS = [record(0, 10), record(1, 11), record(0, 12, partition=1)]


def account(unique: list[Record], duplicates: list[Record]) -> Account:
    return compare(TOPIC, INPUTS, {"unique": unique, "duplicate": duplicates})


def test_all_is_well() -> None:
    # Where an output lies has nothing to do with where its input lies.
    found = account([replace(INPUTS[0], offset=70), INPUTS[1]], [duplicate(INPUTS[2])])
    assert found == Account((), (), ())
    assert not found.faults


def test_a_lost_and_a_doubled_record() -> None:
    found = account([INPUTS[0]], [duplicate(INPUTS[0]), duplicate(INPUTS[2])])
    assert found.lost == ((0, 1),)
    assert found.doubled == ((0, 0),)
    assert found.faults == ["not answered: 1 (0:1)", "answered more than once: 1 (0:0)"]


def test_a_header_that_names_another_place() -> None:
    for other in (
        duplicate(replace(INPUTS[2], offset=5)),
        duplicate(replace(INPUTS[2], partition=0)),
        duplicate(INPUTS[2], topic="another"),
        INPUTS[2],
    ):
        [wrong] = account(INPUTS[:2], [replace(other, partition=1, offset=0)]).wrong
        assert "and is (1, 0) of in" in wrong


def test_a_value_that_was_changed() -> None:
    changed = replace(INPUTS[1], value=b"else")
    assert len(account([INPUTS[0], changed], [duplicate(INPUTS[2])]).wrong) == 1


def test_an_output_that_answers_nothing() -> None:
    found = account(INPUTS[:2], [duplicate(INPUTS[2]), record(3, 99)])
    assert found.wrong == ("duplicate 0:3 answers no record of the input",)


def test_an_input_that_was_written_twice() -> None:
    twice = [*INPUTS, record(2, 11)]
    assert compare(TOPIC, twice, {"unique": INPUTS}).lost == ((0, 2),)
    for second in (INPUTS[1], twice[3]):
        outputs = {"unique": INPUTS, "duplicate": [duplicate(second)]}
        assert compare(TOPIC, twice, outputs) == Account((), (), ())
    outputs = {"unique": INPUTS, "duplicate": [duplicate(twice[3])] * 2}
    assert compare(TOPIC, twice, outputs).doubled == ((0, 2),)
