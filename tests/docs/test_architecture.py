"""docs/architecture.md names files and functions that exist, on a way that is not too long."""

import re

import pytest

from tests.docs.guide import GUIDE, ROOT

TEXT = (GUIDE / "architecture.md").read_text("utf-8")
WAY = re.findall(
    r"^\| [^|]*\| `([\w/]+\.py)` \| ([^|]+) \|$",
    TEXT.split("<!-- way -->")[1].split("<!-- end of way -->")[0],
    re.MULTILINE,
)
MAX_FILES, MAX_RETURNS = 45, 25


@pytest.mark.parametrize("step", WAY, ids=lambda step: step[0])
def test_a_step_of_the_way_exists(step: tuple[str, str]) -> None:
    file, functions = step
    code = (ROOT / file).read_text("utf-8")
    for name in re.findall(r"`(\w+)`", functions):
        assert re.search(rf"^\s*(?:def|class) {name}\b", code, re.MULTILINE), name


def test_the_way_is_not_too_long() -> None:
    files = [file for file, _ in WAY]
    returns = sum(file in files[:at] for at, file in enumerate(files))
    assert len(set(files)) <= MAX_FILES
    assert returns <= MAX_RETURNS


@pytest.mark.parametrize(
    "path",
    sorted(set(re.findall(r"`((?:flows|operators|connectors)/[a-z_/]*(?:\.py)?)`", TEXT))),
)
def test_a_room_or_file_that_is_named_exists(path: str) -> None:
    assert (ROOT / path).exists()


def test_every_room_is_named() -> None:
    rooms = {
        f"{top}/{folder.name}/"
        for top in ("flows", "operators", "connectors")
        for folder in (ROOT / top).iterdir()
        if (folder / "__init__.py").exists()
    }
    assert rooms <= set(re.findall(r"^\| `([\w/]+/)` \|", TEXT, re.MULTILINE))
