"""A byte column behaves like a list of byte strings, whatever was done to it."""

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
    """The values of a column, read in every possible way."""
    values = list(column)
    assert [column[row] for row in range(len(column))] == values
    assert [column[row - len(column)] for row in range(len(column))] == values
    addresses, sizes = column.addresses().tolist(), column.sizes.tolist()
    assert [
        ctypes.string_at(address, size) if address else None
        for address, size in zip(addresses, sizes, strict=True)
    ] == values
    return values


@given(_VALUES)
def test_a_column_has_the_values_that_it_was_made_of(values: _Model) -> None:
    column = ByteColumn.of(values)
    assert read(column) == values
    assert column == values
    assert len(column) == len(values)
    assert column.is_missing().tolist() == [value is None for value in values]
    assert ByteColumn.of(column) is column


@given(_VALUES, st.data())
def test_any_part_of_any_part_equals_the_same_part_of_a_list(
    values: _Model, data: st.DataObject
) -> None:
    column, model = ByteColumn.of(values), values
    for _ in range(data.draw(st.integers(1, 4))):
        column, model = _changed(column, model, data)
        assert read(column) == model
        assert len(column.memory) == sum(len(value or b"") for value in model)


def _changed(column: ByteColumn, model: _Model, data: st.DataObject) -> tuple[ByteColumn, _Model]:
    what = data.draw(st.sampled_from(["slice", "take", "concat", "pickle"]))
    if what == "slice":
        bound = st.integers(-1, len(model) + 1)
        part = slice(data.draw(st.none() | bound), data.draw(st.none() | bound))
        return column[part], model[part]
    if what == "take":
        rows = data.draw(st.lists(st.integers(0, len(model) - 1)) if model else st.just([]))
        return column.take(np.array(rows, np.int64)), [model[row] for row in rows]
    if what == "concat":
        more = data.draw(st.lists(_VALUES, max_size=2))
        columns = [column, *map(ByteColumn.of, more)]
        return ByteColumn.concat(columns), model + [value for values in more for value in values]
    copy: ByteColumn = pickle.loads(pickle.dumps(column))  # noqa: S301 - our own
    return copy, model


def test_a_pickled_part_has_only_its_own_bytes() -> None:
    column = ByteColumn.of([b"x" * 1_000] * 1_000)
    assert len(pickle.dumps(column[3:5])) < 3_000


def test_a_column_of_none() -> None:
    assert read(ByteColumn.none(3)) == [None] * 3


def test_rows_that_were_taken_do_not_keep_the_rest_alive() -> None:
    column = ByteColumn.of([b"x" * 1_000] * 1_000)
    taken = column.take(np.array([1, 5]))
    assert _bytes_held(taken) == 2_000


def _bytes_held(column: ByteColumn) -> int:
    base = column.memory
    while isinstance(base.base, np.ndarray):
        base = base.base
    return base.nbytes


def test_columns_with_the_same_values_are_equal() -> None:
    values: Sequence[bytes | None] = [b"a", None]
    assert ByteColumn.of(values) == ByteColumn.of(values)
    assert ByteColumn.of(values) != [b"a", b""]
    assert ByteColumn.of(values) != "a"
