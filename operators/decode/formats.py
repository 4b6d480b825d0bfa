"""The formats of record values.

To add one: write a module with a `Reader` (`careful_path` reads records one by one for any
format), and name it in `FORMATS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from operators.batches import DecisionColumns, Records
from operators.decode.events import EventSpec
from operators.decode.json.reader import JsonReader


class Reader(Protocol):
    """Reads the fields that decide from values of one format."""

    def __call__(self, records: Records, columns: DecisionColumns) -> None:
        """Fill in the columns of some records.

        Each record gets a time and hashes, or an entry in `columns.invalid`, with NaN as its
        time and no text.  Times come as NaN, hashes and shards as 0, event types as `""`,
        texts as None.  Nothing depends on a clock or on other records.
        """
        ...


FORMATS: dict[str, Callable[[EventSpec], Reader]] = {
    "json": JsonReader,
}
"""Name of a format → what makes its reader."""
