"""Rule 1 (connectors/exactly_once): puts the outputs of a verdict batch together again."""

from __future__ import annotations

from operators.encode.encoder import Output


class BatchReassembler:
    """Collects the outputs of a lane's batches; gives each batch out whole, in order.

    Branches of the dataflow may run at different speeds: an output waits until all
    parts of its number are there, and for all numbers before it.
    """

    def __init__(self) -> None:
        """Nothing has been written yet; the first number seen is taken as the first."""
        self._waiting: dict[int, list[Output]] = {}
        self._next: int | None = None

    def add(self, output: Output) -> list[list[Output]]:
        """Take an output; return the batches that are now whole, unique records first."""
        self._waiting.setdefault(output.number, []).append(output)
        # Numbers of a lane come in order in each branch, so that the smallest is first.
        if self._next is None:
            self._next = output.number
        self._next = min(self._next, output.number)
        whole = []
        while (parts := self._waiting.get(self._next)) and len(parts) == parts[0].parts:
            whole.append(sorted(parts, key=lambda part: part.verdict))
            del self._waiting[self._next]
            self._next += 1
        return whole

    def __len__(self) -> int:
        """Return the number of batches that still wait for parts."""
        return len(self._waiting)
