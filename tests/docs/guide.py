"""The guide's code blocks, so that tests can run what it shows."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
GUIDE: Final = ROOT / "docs"
PAGES: Final = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "tests" / "README.md",
    *sorted(GUIDE.rglob("*.md")),
]

_FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NEEDS: Final = re.compile(r"<!-- needs: (.+) -->\s*\Z")
_HEADING: Final = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    needs: what a test machine lacks to run it; the comment in the line before the block says it,
    None without a comment.  line: where the block begins, from 1.
    """

    language: str
    text: str
    heading: str
    needs: str | None
    line: int


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    text = page.read_text("utf-8")
    for match in _FENCE.finditer(text):
        before = text[: match.start()]
        outside = _FENCE.sub("", before)
        headings = _HEADING.findall(outside)
        needs = _NEEDS.search(before)
        yield Block(
            language=match[1],
            text=match[2],
            heading=headings[-1] if headings else "",
            needs=needs[1] if needs else None,
            line=before.count("\n") + 1,
        )


def rows(page: str, header: str) -> list[tuple[str, ...]]:
    """Return the rows of the table with a header line, cells as they are written.

    page: path in the guide's folder.
    """
    lines = iter((GUIDE / page).read_text("utf-8").splitlines())
    assert header in lines  # this also reads past the header
    next(lines)
    table = takewhile(lambda line: line.startswith("|"), lines)
    return [tuple(cell.strip() for cell in line.strip("|").split(" | ")) for line in table]
