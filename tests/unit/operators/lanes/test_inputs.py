"""The numbers of a lane's input partitions: they never change their meaning."""

import pytest

from operators.batches import InputPartition
from operators.columns.references import MAX_PARTITIONS
from operators.errors import StateError
from operators.lanes.inputs import InputTable
from tests.builders import inputs

OLD, NEW = InputPartition("t", "old", 0), InputPartition("t", "new", 0)


def test_partitions_are_numbered_as_they_are_met() -> None:
    table = InputTable()
    first, second, third = inputs(3)

    assert table.numbers([second, first, second]) == [0, 1, 0]
    assert table.numbers([third, first]) == [2, 1]
    assert table.partitions == (second, first, third)
    assert (table.number(third), table.number(OLD), len(table)) == (2, None, 3)


def test_a_topic_that_was_created_again_has_other_numbers() -> None:
    assert InputTable([OLD]).numbers([NEW, OLD]) == [1, 0]


def test_a_table_that_was_handed_out_does_not_change() -> None:
    table = InputTable([OLD])
    handed_out = table.partitions
    table.add([NEW])

    assert (handed_out, table.partitions) == ((OLD,), (OLD, NEW))


def test_references_have_room_for_so_many_partitions() -> None:
    table = InputTable(inputs(MAX_PARTITIONS))
    table.add(inputs(MAX_PARTITIONS))

    with pytest.raises(StateError, match="more than 65,536 input partitions"):
        table.add([OLD])
    assert len(table) == MAX_PARTITIONS


@pytest.mark.parametrize(
    "stored", [(), (OLD,), (OLD, NEW), (OLD, NEW, *inputs(3))], ids=["0", "1", "2", "5"]
)
def test_an_earlier_and_a_later_table_of_one_run_fit(stored: tuple[InputPartition, ...]) -> None:
    table = InputTable([OLD, NEW])
    table.go_on_from(stored)

    assert table.partitions == max(stored, (OLD, NEW), key=len)
    assert table.numbers(table.partitions) == list(range(len(table)))


@pytest.mark.parametrize("stored", [(NEW,), (NEW, OLD), (OLD, *inputs(1))])
def test_a_number_that_would_mean_another_partition_is_an_error(
    stored: tuple[InputPartition, ...],
) -> None:
    table = InputTable([OLD, NEW])

    with pytest.raises(StateError, match="numbers of input partitions differ"):
        table.go_on_from(stored)
    assert table.partitions == (OLD, NEW)
