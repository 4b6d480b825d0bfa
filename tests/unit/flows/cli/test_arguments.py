"""Arguments that several sub-commands have."""

import argparse

import pytest

from flows.cli.arguments import positive_integer


def test_a_whole_number_from_1_on_is_taken() -> None:
    assert [positive_integer(text) for text in ("1", "007", "123456")] == [1, 7, 123_456]


@pytest.mark.parametrize("text", ["", "0", "-1", "1.0", "1e3", "x", " 1"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not a whole number from 1 on"):
        positive_integer(text)
