"""The faults that an audit finds: their number by kind, and the first examples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice


class Kind(Enum):
    """Kinds of faults.  The value completes the line "N …"."""

    MISSING = "input records have no answer"
    DOUBLED = "answers are to records that have one already"
    FOREIGN = "output records answer no input record"
    ALTERED = "output records differ from the input record that they answer"
    MISPLACED = "output records are in the output of another verdict"
    MALFORMED = "output records do not say which record they answer, or why"
    REPEATED = "unique records repeat the key of another one in the window"
    ORIGINAL = "duplicates name an original that they do not repeat"
    VERDICT = "records have a verdict that the rules do not give"
    HANGING = "partitions have a transaction that hangs"


@dataclass
class Findings:
    """Number of faults by kind, and the first `show` examples of each, a line each."""

    show: int = 5
    counts: dict[Kind, int] = field(default_factory=dict)
    examples: dict[Kind, list[str]] = field(default_factory=dict)

    def add(self, kind: Kind, count: int, examples: Iterable[str]) -> None:
        """Add faults.  examples: a line for each; made only as far as they are shown."""
        if count:
            self.counts[kind] = self.counts.get(kind, 0) + count
            shown = self.examples.setdefault(kind, [])
            shown.extend(islice(examples, self.show - len(shown)))

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.counts)

    def lines(self) -> Iterator[str]:
        """Yield the lines of the report; none if there are no faults."""
        for kind in Kind:
            if kind in self.counts:
                count = self.counts[kind]
                yield f"{count:,} {kind.value}:"
                yield from (f"  {example}" for example in self.examples[kind])
                if count > len(self.examples[kind]):
                    yield f"  … and {count - len(self.examples[kind]):,} more"
