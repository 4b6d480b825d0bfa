"""What the guide says, against the code: tables, links, settings files."""

import re
import shlex
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from flows.cli.app import _parser
from flows.cli.tables import metric_lines, setting_lines
from flows.settings.load import load_settings
from operators.keys.canonical_json import decode_json
from operators.keys.combination import hash_values
from operators.windows.session import SessionStore
from operators.windows.sliding import SlidingStore
from operators.windows.store import KeyStore
from operators.windows.tumbling import TumblingStore
from tests.docs.guide import GUIDE, PAGES, ROOT, blocks, rows

_LINK: Final = re.compile(r"\]\(([^)]+)\)")
RULES: Final = ROOT / "deploy" / "prometheus" / "rules.yml"
_COMMAND: Final = re.compile(r"^(?:[A-Z_]+=\S* )*dedup (.+)$", re.MULTILINE)
_W: Final = 60.0
_STORES: Final[dict[str, Callable[[], KeyStore]]] = {
    "tumbling": lambda: TumblingStore(_W),
    "sliding": lambda: SlidingStore(_W),
    "session": lambda: SessionStore(_W),
    "forever": lambda: TumblingStore(float("inf")),
}


def anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(page.read_text("utf-8")):
        if link.startswith("https://"):
            continue
        path, _, name = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        headings = re.findall(r"^#+ (.+)$", target.read_text("utf-8"), re.MULTILINE)
        assert not name or name in map(anchor, headings), link


@pytest.mark.parametrize("folder", [GUIDE, GUIDE / "reference"], ids=lambda folder: folder.name)
def test_an_index_names_every_page(folder: Path) -> None:
    links = set(_LINK.findall((folder / "index.md").read_text("utf-8")))
    pages = {page.name for page in folder.glob("*.md")}
    assert pages - {"index.md"} <= links


def test_metrics_and_alerts_that_are_named_exist() -> None:
    known = set(re.findall(r"`(dedup_\w+)` \|", "\n".join(metric_lines())))
    alerts = set(re.findall(r"alert: (\w+)", RULES.read_text("utf-8")))
    for page in PAGES:
        text = page.read_text("utf-8")
        named = re.findall(r"\b(dedup_[a-z_]+?)(?:_bucket|_sum|_count)?\b", text)
        assert set(named) <= known, page
        assert set(re.findall(r"\bDedup[A-Z]\w+", text)) - {"DedupError"} <= alerts, page


def test_labels_of_metrics_are_explained() -> None:
    header, *_ = metric_lines()
    page = "reference/metrics.md"
    used = {label for row in rows(page, header) for label in row[2].split(", ") if label}
    assert used == {row[0] for row in rows(page, "| label | values |")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_are_understood(page: Path) -> None:
    """Also those that a test machine cannot run."""
    for block in blocks(page):
        if block.language == "sh":
            for words in _dedup_commands(block.text):
                _parser(words[0]).parse_args(words)


def _dedup_commands(text: str) -> Iterator[list[str]]:
    for match in _COMMAND.finditer(text.replace("\\\n", " ")):
        words = shlex.split(match[1], comments=True)
        yield list(takewhile(lambda word: word not in {">", ">>", "|", "&", "&&"}, words))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_files_are_accepted(page: Path, tmp_path: Path) -> None:
    for block in blocks(page):
        if block.language == "yaml":
            file = tmp_path / "dedup.yaml"
            file.write_text(block.text, "utf-8")
            load_settings({"DEDUP_CONFIG": str(file)})


def test_variables_that_are_named_exist() -> None:
    known = set(re.findall(r"DEDUP_\w+", "\n".join(setting_lines()))) | {"DEDUP_CONFIG"}
    for page in PAGES:
        named = set(re.findall(r"DEDUP_(?!TEST_)[A-Z_]*[A-Z]", page.read_text("utf-8")))
        assert named <= known, page


@pytest.mark.parametrize("row", rows("keys-and-windows.md", "| one | other | match |"))
def test_values_match_as_the_table_says(row: tuple[str, str, str]) -> None:
    left, right = (decode_json(cell.strip("`").encode()) for cell in row[:2])
    assert row[2] in {"yes", "no"}
    assert (hash_values([left], 0) == hash_values([right], 0)) is (row[2] == "yes")
    assert (hash_values([left, "x"], 0) == hash_values([right, "x"], 0)) is (row[2] == "yes")


@pytest.mark.parametrize("row", rows("keys-and-windows.md", "| window | event times | verdicts |"))
def test_windows_decide_as_the_table_says(row: tuple[str, str, str]) -> None:
    window, times, verdicts = row
    store = _STORES[window]()
    decided = []
    for offset, time in enumerate(times.split(", ")):
        hashes = np.full((1, 1, 2), 7, np.uint64)
        matches = store.decide(hashes, np.array([float(time)]), np.array([offset])).matches
        decided.append("unique" if matches.combination[0] < 0 else "duplicate")
    assert ", ".join(decided) == verdicts
