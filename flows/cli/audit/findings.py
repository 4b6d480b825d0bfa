"""What an audit finds wrong: counts by kind, and the first offenders by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice


class Kind(Enum):
    """What can be wrong; the value completes "N …"."""

    MISSING = "input records have no answer"
    DOUBLED = "answers are to records that have one already"
    FOREIGN = "output records answer no input record"
    ALTERED = "output records differ from the input record that they answer"
    MISPLACED = "output records lie in the output of another verdict"
    MALFORMED = "output records lack what should say which record they answer, or why"
    REPEATED = "unique records repeat the key of another one in the window"
    ORIGINAL = "duplicates name an original that they do not repeat"
    VERDICT = "records have a verdict that the rules do not give"
    HANGING = "partitions have a transaction that hangs"


@dataclass
class Findings:
    """Counts of each kind, and the first `show` examples, each one line."""

    show: int = 5
    counts: dict[Kind, int] = field(default_factory=dict)
    examples: dict[Kind, list[str]] = field(default_factory=dict)

    def add(self, kind: Kind, count: int, examples: Iterable[str]) -> None:
        """Note some offenders.  examples: of them, made only as far as they are shown."""
        if count:
            self.counts[kind] = self.counts.get(kind, 0) + count
            shown = self.examples.setdefault(kind, [])
            shown.extend(islice(examples, self.show - len(shown)))

    def __bool__(self) -> bool:
        """Whether anything is wrong."""
        return bool(self.counts)

    def lines(self) -> Iterator[str]:
        """Report lines, none if nothing is wrong."""
        for kind in Kind:
            if kind in self.counts:
                count = self.counts[kind]
                yield f"{count:,} {kind.value}:"
                yield from (f"  {example}" for example in self.examples[kind])
                if count > len(self.examples[kind]):
                    yield f"  … and {count - len(self.examples[kind]):,} more"
