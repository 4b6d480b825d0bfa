"""Which classes of this project a pickle names that do not exist any more."""

import pickle
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.launch import Launch
from flows.process.snapshot_classes import unknown_classes


@dataclass
class Other:
    """A class of a package that is not this project's."""

    names: list[str]


def moved(pickled: bytes) -> bytes:
    """The pickle of a `Launch`, from when its module had another name of the same length."""
    return pickled.replace(b"flows.launch", b"flows.lunch_")


LAUNCH = Launch(Path("recovery"), 0, 1, 1)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_moved_class_is_named_whatever_the_protocol(protocol: int) -> None:
    pickled = pickle.dumps([Counter("ab"), LAUNCH, LAUNCH, Other(["flows.lunch"])], protocol)
    assert unknown_classes(pickled) == []
    assert unknown_classes(moved(pickled)) == ["flows.lunch_.Launch"]


def test_a_class_that_is_gone_from_its_module() -> None:
    pickled = pickle.dumps(LAUNCH).replace(b"\x06Launch", b"\x06Lunch_")
    assert unknown_classes(pickled) == ["flows.launch.Lunch_"]


def test_names_that_were_pickled_before_are_known() -> None:
    """A pickle writes a string once, and refers to it after that."""
    pickled = pickle.dumps(["flows.launch", "Launch", LAUNCH])
    assert unknown_classes(moved(pickled)) == ["flows.lunch_.Launch"]


def test_text_is_no_class() -> None:
    assert unknown_classes(pickle.dumps(["operators.deduplicate", "LaneSnapshot"])) == []


def test_a_pickle_that_is_cut_off_tells_what_comes_first() -> None:
    pickled = moved(pickle.dumps([LAUNCH, bytes(100_000)]))
    for length in range(len(pickled[:300])):
        assert unknown_classes(pickled[:length]) in ([], ["flows.lunch_.Launch"])
    assert unknown_classes(pickled[:200]) == ["flows.lunch_.Launch"]
