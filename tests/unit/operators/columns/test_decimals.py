"""Columns of numbers as text, against Python's own formatting of each."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from operators.columns.decimals import decimals

_LARGEST = 2**63 - 1
# Numbers of every length, and numbers at which a digit is added.
_POWERS = st.integers(0, 18).map(lambda digits: 10**digits)
_NUMBERS = (
    st.integers(0, _LARGEST) | st.integers(0, 1000) | _POWERS | _POWERS.map(lambda power: power - 1)
)


@given(st.integers(1, 3).flatmap(lambda width: st.lists(st.tuples(*[_NUMBERS] * width))))
@example([(0, _LARGEST), (_LARGEST, 0)])
def test_each_row_is_formatted_as_python_formats_it(rows: list[tuple[int, ...]]) -> None:
    columns = [np.array(column, np.int64) for column in zip(*rows, strict=True)]

    texts = decimals(*columns or [np.zeros(0, np.int64)])

    assert list(texts) == [":".join(map(str, row)).encode() for row in rows]
    assert len(texts.memory) == texts.sizes.sum()
