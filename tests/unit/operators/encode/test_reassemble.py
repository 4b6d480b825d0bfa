"""Parts of a lane's batches come from branches that run at different speeds (rule 1)."""

import random
from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from operators.batches import Records
from operators.encode.encoder import Output
from operators.encode.reassemble import BatchReassembler


def output(number: int, verdict: int, parts: int) -> Output:
    return Output(0, number, parts, verdict, Records(np.zeros(0, np.int64), ()), 0.0)


@st.composite
def branches(draw: st.DrawFn) -> list[list[Output]]:
    """Outputs by branch, each in order; every batch has a unique part."""
    first = draw(st.integers(1, 1000))
    verdicts = draw(st.lists(st.sets(st.sampled_from([1, 2, 3])), max_size=12))
    outputs = [
        [
            output(first + at, verdict, len(others) + 1)
            for at, others in enumerate(verdicts)
            if verdict == 0 or verdict in others
        ]
        for verdict in range(4)
    ]
    return [branch for branch in outputs if branch]


@given(branches(), st.randoms(use_true_random=False))
def test_batches_come_out_whole_and_in_order(
    outputs: Sequence[list[Output]], draw: random.Random
) -> None:
    waiting = [list(branch) for branch in outputs]
    assembler = BatchReassembler()
    batches: list[list[Output]] = []
    while any(waiting):
        branch = draw.choice([one for one in waiting if one])
        batches += assembler.add(branch.pop(0))

    assert len(assembler) == 0
    numbers = [batch[0].sequence for batch in batches]
    assert numbers == sorted(set(numbers))
    assert sum(map(len, batches)) == sum(map(len, outputs))
    for batch in batches:
        assert {part.sequence for part in batch} == {batch[0].sequence}
        assert len(batch) == batch[0].parts
        assert [part.verdict for part in batch] == sorted(part.verdict for part in batch)


def test_half_a_batch_waits() -> None:
    assembler = BatchReassembler()

    assert assembler.add(output(7, 1, 2)) == []
    assert len(assembler) == 1
    [whole] = assembler.add(output(7, 0, 2))
    assert [part.verdict for part in whole] == [0, 1]


def test_a_later_batch_waits_for_an_earlier_one() -> None:
    assembler = BatchReassembler()

    assert assembler.add(output(8, 1, 2)) == []
    assert [batch[0].sequence for batch in assembler.add(output(7, 0, 1))] == [7]
    assert [batch[0].sequence for batch in assembler.add(output(8, 0, 2))] == [8]
