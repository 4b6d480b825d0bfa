"""The column of event types against a list of names."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from operators.columns.event_types import EventTypes

_NAMES = st.lists(st.sampled_from(["", "a", "b", "é"]), max_size=8)


@given(_NAMES, st.data())
def test_rows_have_the_names_that_a_list_has(names: list[str], data: st.DataObject) -> None:
    types = EventTypes.of(names)
    assert types.tolist() == names
    assert len(types) == len(names)
    begin, end = sorted(data.draw(st.tuples(*[st.integers(0, len(names))] * 2)))
    assert types.part(slice(begin, end)).tolist() == names[begin:end]
    flags = np.array(data.draw(st.lists(st.booleans(), min_size=len(names), max_size=len(names))))
    rows = np.flatnonzero(flags)
    assert types[rows].tolist() == [names[row] for row in rows]


def test_a_part_is_a_view() -> None:
    types = EventTypes.unknown(4)
    assert types.tolist() == [""] * 4
    types.part(slice(1, 3)).put(slice(None), ["a", "b"], 2)
    types.put(np.array([3]), ["a"], 1)
    assert types.tolist() == ["", "a", "b", "a"]
    assert list(types.names) == ["", "a", "b"]
