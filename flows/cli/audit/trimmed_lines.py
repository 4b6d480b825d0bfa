"""Lines that a run answered before white space ended them.

A run with -r answers a last line without a newline if it is a JSON object.  What comes
after it until the newline may be white space, which is then part of the line in the
file, but not of the line that was answered.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import numpy as np

from flows.cli.audit.similarity import ReadAgain
from flows.cli.audit.table import digests, same
from operators.columns.arrays import Bools, Hashes, Ints
from operators.keys.canonical_json import is_json_object

_SIDES: Final[tuple[Literal["left"], Literal["right"]]] = ("left", "right")


class LineEnds:
    """Gives input lines a second try with less white space at their end.

    read_again: reads input lines a second time.  found: how many had a partner then.
    """

    def __init__(self, read_again: ReadAgain) -> None:
        self._read_again = read_again
        self.found = 0

    def answered(self, rows: Ints, answers: Hashes) -> Bools:
        """Tell which answers are to the line of their row as it was before.

        answers: a digest for each row.
        """
        right = np.zeros(len(rows), np.bool_)
        order = np.argsort(rows, kind="stable")
        ordered = rows[order]
        for row, before in self._before(np.unique(rows)):
            mine = order[slice(*np.searchsorted(ordered, (row, row + 1)).tolist())]
            for digest in before:
                right[mine] |= same(answers[mine], digest)
        self.found += int(right.sum())
        return right

    def pair(self, rows: Ints, answers: Hashes) -> tuple[Ints, Ints]:
        """Pair rows with answers that name none, each once; return both, in pairs.

        rows: ascending.  The answers are returned as positions in `answers`.
        """
        pairs = []
        order = np.argsort(answers[:, 0], kind="stable")
        ordered = answers[order]
        taken = np.zeros(len(answers), np.bool_)
        for row, before in self._before(rows if len(answers) else rows[:0]):
            for digest in before:
                at = slice(*(ordered[:, 0].searchsorted(digest[0], side) for side in _SIDES))
                mine = order[at][same(ordered[at], digest) & ~taken[order[at]]]
                if len(mine):
                    taken[mine[0]] = True
                    pairs.append((row, int(mine[0])))
                    break
        self.found += len(pairs)
        array = np.array(pairs, np.int64).reshape(-1, 2)
        return array[:, 0], array[:, 1]

    def note(self) -> Iterator[str]:
        """Say how many there were, if any."""
        if self.found:
            yield (
                f"{self.found:,} answers are to input lines that white space ended later: a run "
                "with -r had answered them without it"
            )

    def _before(self, rows: Ints) -> Iterator[tuple[int, Iterator[Hashes]]]:
        """Digests of what rows may have been before, of those that have white space at the end."""
        if not len(rows):
            return
        for found, records in self._read_again(rows):
            for row, line in zip(found.tolist(), records.values, strict=True):
                bare = (line or b"").rstrip(b" \t\r")
                if line and len(bare) < len(line) and is_json_object(bare):
                    yield row, _each_digest(line, len(bare))


def _each_digest(line: bytes, shortest: int) -> Iterator[Hashes]:
    return (digests([line[:end]])[0] for end in range(shortest, len(line)))
