"""Input lines that a run answered before their white space was written.

A run with -r answers a last line without a newline if it is a JSON object.  White space
that is written after it, before the newline, belongs to the line in the file, but not to
the line that was answered.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import numpy as np

from flows.cli.audit.similarity import ReadAgain
from flows.cli.audit.table import digests, equal_rows
from operators.columns.arrays import Bools, Hashes, Ints
from operators.keys.canonical_json import is_json_object

_SIDES: Final[tuple[Literal["left"], Literal["right"]]] = ("left", "right")


class TrimmedLines:
    """Matches answers with input lines that have less white space at their end.

    read_again: reads input lines a second time.  matched: number of answers that matched.
    """

    def __init__(self, read_again: ReadAgain) -> None:
        self._read_again = read_again
        self.matched = 0

    def answered(self, rows: Ints, answers: Hashes) -> Bools:
        """Whether each answer is to its row's line with less white space.

        answers: a digest for each row.
        """
        right = np.zeros(len(rows), np.bool_)
        order = np.argsort(rows, kind="stable")
        ordered = rows[order]
        for row, trimmed in self._trimmed(np.unique(rows)):
            of_row = order[slice(*np.searchsorted(ordered, (row, row + 1)).tolist())]
            for digest in trimmed:
                right[of_row] |= equal_rows(answers[of_row], digest)
        self.matched += int(right.sum())
        return right

    def pair(self, rows: Ints, answers: Hashes) -> tuple[Ints, Ints]:
        """Pair rows with answers that name no row, each at most once.

        rows: ascending.  Returns the rows and the positions of their answers.
        """
        pairs = []
        order = np.argsort(answers[:, 0], kind="stable")
        ordered = answers[order]
        taken = np.zeros(len(answers), np.bool_)
        for row, trimmed in self._trimmed(rows if len(answers) else rows[:0]):
            for digest in trimmed:
                at = slice(*(ordered[:, 0].searchsorted(digest[0], side) for side in _SIDES))
                free = order[at][equal_rows(ordered[at], digest) & ~taken[order[at]]]
                if len(free):
                    taken[free[0]] = True
                    pairs.append((row, int(free[0])))
                    break
        self.matched += len(pairs)
        array = np.array(pairs, np.int64).reshape(-1, 2)
        return array[:, 0], array[:, 1]

    def note(self) -> Iterator[str]:
        """Yield a note with the number of matched answers, if there are any."""
        if self.matched:
            yield (
                f"{self.matched:,} answers are to input lines that got white space at their end "
                "later: a run with -r had answered them without it"
            )

    def _trimmed(self, rows: Ints) -> Iterator[tuple[int, Iterator[Hashes]]]:
        """For rows with white space at their end, digests of the lines with less of it."""
        if not len(rows):
            return
        for chunk, records in self._read_again(rows):
            for row, line in zip(chunk.tolist(), records.values, strict=True):
                bare = (line or b"").rstrip(b" \t\r")
                if line and len(bare) < len(line) and is_json_object(bare):
                    yield row, _digests_of_shorter(line, len(bare))


def _digests_of_shorter(line: bytes, shortest: int) -> Iterator[Hashes]:
    return (digests([line[:end]])[0] for end in range(shortest, len(line)))
