"""Options of a stream that cannot be met are refused, by name."""

import dataclasses
from typing import Any

import pytest

from flows.cli.generate.options import StreamOptions
from flows.cli.generate.stream import generate
from operators.errors import SettingsError


@pytest.mark.parametrize(
    "change, named",
    [
        ({"duplicates": -0.1}, "--duplicates"),
        ({"late": 1.5}, "--late"),
        ({"near": 0.9, "invalid": 0.2}, "1 together"),
        ({"users": 0}, "--users"),
        ({"out_of_order_seconds": 300}, "--out-of-order"),
        ({"start": -1}, "--start"),
        ({"start": 4_200_000_000}, "--start"),
        ({"step_seconds": -1}, "--step"),
    ],
)
def test_what_cannot_be_met_is_refused(change: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        next(generate(dataclasses.replace(StreamOptions(), **change)))
