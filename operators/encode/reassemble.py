"""Reassembles a verdict batch from the outputs of its parts (rule 1 of connectors/exactly_once)."""

from __future__ import annotations

from operators.encode.encoder import Output


class BatchReassembler:
    """Collects the outputs of a lane's batches; returns each batch whole, in order.

    Branches of the dataflow may run at different speeds.  An output waits for all other
    parts of its batch, and for all batches before it.
    """

    def __init__(self) -> None:
        """Start before the first batch; the first sequence seen is the first batch."""
        self._waiting: dict[int, list[Output]] = {}
        self._next: int | None = None

    def add(self, output: Output) -> list[list[Output]]:
        """Take an output; return the batches that are now whole, unique records first."""
        self._waiting.setdefault(output.sequence, []).append(output)
        # Each branch keeps a lane's batches in order, so the smallest sequence comes first.
        if self._next is None:
            self._next = output.sequence
        self._next = min(self._next, output.sequence)
        whole = []
        while (parts := self._waiting.get(self._next)) and len(parts) == parts[0].parts:
            whole.append(sorted(parts, key=lambda part: part.verdict))
            del self._waiting[self._next]
            self._next += 1
        return whole

    def __len__(self) -> int:
        """Return the number of batches that wait for more parts."""
        return len(self._waiting)
