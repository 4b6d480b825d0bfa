"""A column of bytes is what a list of them would be, whatever was done to it."""

import ctypes
import pickle
from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from operators.columns.byte_column import ByteColumn

_VALUES = st.lists(st.none() | st.binary(max_size=12), max_size=12)
_Model = list[bytes | None]


def read(column: ByteColumn) -> _Model:
    """What is in a column, asked for in every way there is."""
    found = list(column)
    assert [column[row] for row in range(len(column))] == found
    assert [column[row - len(column)] for row in range(len(column))] == found
    places, sizes = column.addresses().tolist(), column.sizes.tolist()
    assert [
        ctypes.string_at(place, size) if place else None
        for place, size in zip(places, sizes, strict=True)
    ] == found
    return found


@given(_VALUES)
def test_what_goes_in_comes_out(values: _Model) -> None:
    column = ByteColumn.of(values)
    assert read(column) == values
    assert column == values
    assert len(column) == len(values)
    assert column.is_missing().tolist() == [value is None for value in values]
    assert ByteColumn.of(column) is column


@given(_VALUES, st.data())
def test_any_part_of_any_part_is_what_it_would_be_of_a_list(
    values: _Model, data: st.DataObject
) -> None:
    column, model = ByteColumn.of(values), values
    for _ in range(data.draw(st.integers(1, 4))):
        column, model = _changed(column, model, data)
        assert read(column) == model
        assert len(column.memory) == sum(len(value or b"") for value in model)


def _changed(column: ByteColumn, model: _Model, data: st.DataObject) -> tuple[ByteColumn, _Model]:
    what = data.draw(st.sampled_from(["slice", "take", "join", "pickle"]))
    if what == "slice":
        place = st.integers(-1, len(model) + 1)
        part = slice(data.draw(st.none() | place), data.draw(st.none() | place))
        return column[part], model[part]
    if what == "take":
        rows = data.draw(st.lists(st.integers(0, len(model) - 1)) if model else st.just([]))
        return column.take(np.array(rows, np.int64)), [model[row] for row in rows]
    if what == "join":
        more = data.draw(st.lists(_VALUES, max_size=2))
        joined = [column, *map(ByteColumn.of, more)]
        return ByteColumn.concat(joined), model + [value for one in more for value in one]
    copy: ByteColumn = pickle.loads(pickle.dumps(column))  # noqa: S301 - our own
    return copy, model


def test_a_part_that_travels_takes_only_its_own_along() -> None:
    column = ByteColumn.of([b"x" * 1_000] * 1_000)
    assert len(pickle.dumps(column[3:5])) < 3_000


def test_none_of_many() -> None:
    assert read(ByteColumn.none(3)) == [None] * 3


def test_what_was_taken_does_not_hold_the_rest() -> None:
    column = ByteColumn.of([b"x" * 1_000] * 1_000)
    taken = column.take(np.array([1, 5]))
    assert _bytes_held(taken) == 2_000


def _bytes_held(column: ByteColumn) -> int:
    base = column.memory
    while isinstance(base.base, np.ndarray):
        base = base.base
    return base.nbytes


def test_it_is_equal_to_what_holds_the_same() -> None:
    values: Sequence[bytes | None] = [b"a", None]
    assert ByteColumn.of(values) == ByteColumn.of(values)
    assert ByteColumn.of(values) != [b"a", b""]
    assert ByteColumn.of(values) != "a"
