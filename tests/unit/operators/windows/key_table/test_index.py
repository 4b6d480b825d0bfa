"""The hash index against a dict: coming, going, growing, and keys that all begin in one group."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.windows.key_table.group_word import SLOTS, byte_of
from operators.windows.key_table.index import KEYS_PER_REGION, KeyIndex
from operators.windows.key_table.probing import DROPPED, GROUPS, mix_keys
from tests.stores import keys_of


@given(
    steps=st.lists(st.tuples(st.booleans(), st.sets(st.integers(0, 60), min_size=1)), min_size=1)
)
def test_it_holds_what_was_added_and_not_removed(steps: list[tuple[bool, set[int]]]) -> None:
    keys = keys_of(range(61))
    index, held = KeyIndex(), set[int]()
    for adding, numbers in steps:
        entries = np.array(sorted(numbers - held if adding else numbers & held), np.int64)
        (index.add if adding else index.remove)(mix_keys(keys[entries]), entries)
        held = held | numbers if adding else held - numbers
        expected = [number if number in held else -1 for number in range(61)]
        assert index.find(mix_keys(keys), keys, keys).tolist() == expected


@pytest.mark.parametrize("batch", [1, 700, 50_000])
def test_it_grows_and_forgets_without_a_trace(batch: int) -> None:
    count = 2_000 if batch == 1 else 50_000
    keys = keys_of(range(count))
    index = KeyIndex()
    entries = np.arange(count)
    for begin in range(0, count, batch):
        part = entries[begin : begin + batch]
        index.make_room(begin + len(part), keys)
        index.add(mix_keys(keys[part]), part)
    assert index.regions == -(-count // KEYS_PER_REGION)
    assert (index.find(mix_keys(keys), keys, keys) == entries).all()
    others = keys_of(range(count, 2 * count))
    assert (index.find(mix_keys(others), others, keys) == -1).all()
    half = np.random.default_rng(1).permutation(count)[: count // 2]
    index.remove(mix_keys(keys[half]), half)
    left = index.find(mix_keys(keys), keys, keys)
    assert (left[half] == -1).all()
    assert (left == entries).sum() == count - len(half)
    index.remove(mix_keys(keys[left >= 0]), entries[left >= 0])
    assert not index.words.any()


@pytest.mark.parametrize("count", [SLOTS, SLOTS + 1, 600])
def test_keys_that_all_begin_in_one_group(count: int) -> None:
    """Also more than a byte can count."""
    keys = keys_of(range(count + 50))
    index = KeyIndex()
    same = np.full(count + 50, 7 << 57 | 5, np.uint64)
    entries = np.arange(count)
    for part in np.array_split(entries, 3):
        index.add(same[part], part)
    expected = [*range(count), *[-1] * 50]
    assert index.find(same, keys, keys).tolist() == expected
    index.remove(same[: count // 2], entries[: count // 2])
    expected[: count // 2] = [-1] * (count // 2)
    assert index.find(same, keys, keys).tolist() == expected


def test_equal_tags_are_not_equal_keys() -> None:
    keys = keys_of(range(20))
    index = KeyIndex()
    tag = np.arange(20, dtype=np.uint64) * 0 + np.uint64(3 << 57)
    index.add(tag[:5], np.arange(5))
    assert index.find(tag, keys, keys).tolist() == [0, 1, 2, 3, 4, *[-1] * 15]


@pytest.mark.parametrize("half", [0, 1])
def test_keys_that_differ_in_one_half_only(half: int) -> None:
    keys = np.full((4, 2), 9, np.uint64)
    keys[:, half] = range(4)
    index = KeyIndex()
    same = np.full(4, 7 << 57 | 5, np.uint64)
    index.add(same[:2], np.arange(2))
    assert index.find(same, keys, keys).tolist() == [0, 1, -1, -1]


def test_dropped_entries_do_not_count_and_may_be_there_twice() -> None:
    keys = keys_of([1, 1, 2])
    stamps = np.array([DROPPED, 7, DROPPED], np.uint32)
    index = KeyIndex()
    words = mix_keys(keys)
    for entry in (0, 2, 1):
        index.add(words[entry : entry + 1], np.array([entry]))
    assert index.find(words, keys, keys, stamps).tolist() == [1, 1, -1]
    index.remove(words[[0, 2]], np.array([0, 2]))
    assert index.find(words, keys, keys).tolist() == [1, 1, -1]


def test_tags_are_in_every_byte_they_should_be() -> None:
    assert GROUPS & (GROUPS - 1) == 0  # a step through the region comes by every group
    for byte in range(1, SLOTS + 1):
        assert byte_of(np.uint64(0x80 << 8 * byte)) == byte
