"""Compares verdicts with the labels of a generated stream."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from flows.cli.audit.table import UNKNOWN, InputTable
from flows.cli.generate.options import LABELS
from flows.settings.model import Settings
from operators.errors import SourceError
from operators.keys.combination import HEADER_PREFIX, Combination
from operators.verdicts import DUPLICATE, INVALID, LATE, UNIQUE, VERDICTS

NO_LABEL = -1
INDEX_OF = {label: index for index, label in enumerate(LABELS)}
INDEX_OF_BYTES = {label.encode(): index for label, index in INDEX_OF.items()}

_CHUNK_BYTES = 1 << 22
# Fields that a repeat has in common with its original, by label.  "" means all fields.
_KEPT = {
    "duplicate": frozenset(("",)),
    "same-content": frozenset(("user_id", "event_type", "data", "@key")),
    "same-other-key": frozenset(("user_id", "event_type", "data.order_id", "@key")),
    "near": frozenset(("user_id", "event_type", "data.order_id", "data.price", "@key")),
}


class _LabelLine(msgspec.Struct):
    label: str
    offset: int
    partition: int = 0


@dataclass(frozen=True, slots=True)
class LabelRow:
    """Numbers of the records with a label.

    expected: the verdict that they should have.  detected: those that have it.  missed:
    those that should not be unique and have another verdict (false negatives).
    mistaken: those that should be unique and are not (false positives).  unanswered:
    those without a verdict.
    """

    label: str
    records: int
    expected: str
    detected: int
    missed: int
    mistaken: int
    unanswered: int

    @property
    def rate(self) -> float:
        """Share of the records with the expected verdict, 0 to 1."""
        return self.detected / self.records


def read_labels(path: Path, table: InputTable) -> None:
    """Add the labels of a file to the table, by partition and offset.

    Raises SourceError if the file cannot be read, or if it names records that the input
    does not have: then it belongs to another stream.
    """
    decode = msgspec.json.Decoder(_LabelLine).decode
    line_number = 0
    try:
        with path.open("rb") as file:
            while lines := file.readlines(_CHUNK_BYTES):
                labels = []
                for line in lines:
                    line_number += 1
                    labels.append(decode(line))
                rows = table.rows(
                    np.array([label.partition for label in labels], np.int64),
                    np.array([label.offset for label in labels], np.int64),
                )
                for row, label in zip(rows.tolist(), labels, strict=True):
                    if row == UNKNOWN:
                        msg = (
                            f"{path} labels partition {label.partition}, offset {label.offset}, "
                            "which the input does not have: give the labels of this input"
                        )
                        raise SourceError(msg)
                    if row >= 0:
                        table.labels[row] = INDEX_OF[label.label]
    except OSError as error:
        msg = f"cannot read {path}: {error.strerror}"
        raise SourceError(msg) from error
    except (msgspec.MsgspecError, KeyError) as error:
        msg = f"{path} line {line_number} is not a line of labels: {error}"
        raise SourceError(msg) from error


def _keeps(kept: frozenset[str], combination: Combination, ignored: frozenset[str]) -> bool:
    """Whether a repeat has the values of its original in all fields of a combination."""
    if "" in kept:
        return True
    if combination.content:
        # A generated event has these other fields.
        return {"event_id", "timestamp"} <= ignored and "data" in kept
    return all(
        path in kept or path.split(".")[0] in kept or path.startswith(HEADER_PREFIX)
        for path in combination.fields
    )


def expected_verdict(label: str, settings: Settings) -> int:
    """Code of the verdict that a label's records should have with these settings."""
    if label in {"late", "invalid", "unique"}:
        return {"late": LATE, "invalid": INVALID, "unique": UNIQUE}[label]
    kept = _KEPT[label]
    ignored = frozenset(settings.content_ignore)
    if not _keeps(kept, settings.shard, ignored):
        return UNIQUE
    if any(_keeps(kept, combination, ignored) for combination in settings.keys):
        return DUPLICATE
    similar = settings.similarity is not None and label in {"same-content", "near"}
    return DUPLICATE if similar else UNIQUE


def label_rows(table: InputTable, settings: Settings) -> list[LabelRow]:
    """Count verdicts by label.  Labels without records are left out."""
    rows = []
    for index, label in enumerate(LABELS):
        verdicts = table.verdicts[table.labels == index]
        if not len(verdicts):
            continue
        expected = expected_verdict(label, settings)
        detected = int((verdicts == expected).sum())
        unanswered = int((verdicts < 0).sum())
        other = len(verdicts) - detected - unanswered
        rows.append(
            LabelRow(
                label=label,
                records=len(verdicts),
                expected=VERDICTS[expected],
                detected=detected,
                missed=0 if expected == UNIQUE else other,
                mistaken=other if expected == UNIQUE else 0,
                unanswered=unanswered,
            )
        )
    return rows


def label_table(rows: list[LabelRow]) -> Iterator[str]:
    """Yield the lines of a table for people."""
    yield (
        f"{'label':<15}{'records':>12}  {'expected':<10}{'detected':>12}{'rate':>10}"
        f"{'false neg.':>12}{'false pos.':>12}"
    )
    for row in rows:
        yield (
            f"{row.label:<15}{row.records:>12,}  {row.expected:<10}{row.detected:>12,}"
            f"{row.rate:>10.3%}{row.missed:>12,}{row.mistaken:>12,}"
        )
