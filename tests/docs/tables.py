"""The tables of the reference that are made from the code.

`python -m tests.docs.tables` writes them into the pages; a test compares.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from flows.cli.tables import markdown_table, metric_lines, setting_lines
from operators.decode.reasons import REASONS
from operators.encode.headers import HEADERS
from tests.docs.guide import GUIDE

_TABLE: Final = re.compile(
    r"(<!-- table: made by `python -m tests\.docs\.tables` -->\n).*?(<!-- end of table -->)",
    re.DOTALL,
)


def header_lines() -> Iterator[str]:
    """Yield the lines of the table of headers."""
    yield from markdown_table(
        ("header", "on", "value"), ((f"`{name}`", on, value) for name, on, value in HEADERS)
    )


def reason_lines() -> Iterator[str]:
    """Yield the lines of the table of reasons."""
    yield from markdown_table(
        ("reason", "when"), ((f"`{name}`", meaning) for name, meaning in REASONS.items())
    )


TABLES: Final[Mapping[str, Callable[[], Iterator[str]]]] = {
    "reference/settings.md": setting_lines,
    "reference/metrics.md": metric_lines,
    "reference/output-records.md": header_lines,
    "reference/verdicts.md": reason_lines,
}


def with_table(page: str) -> str:
    """Return the text of a page with its table as the code has it."""
    table = "\n".join(TABLES[page]())
    text, count = _TABLE.subn(
        lambda match: f"{match[1]}{table}\n{match[2]}", (GUIDE / page).read_text("utf-8")
    )
    assert count == 1, f"{page} has {count} tables to be made"
    return text


if __name__ == "__main__":
    for page in TABLES:
        (GUIDE / page).write_text(with_table(page), "utf-8")
