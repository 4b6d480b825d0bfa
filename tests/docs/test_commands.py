"""The commands of the README and the guide, run as they stand there.

Every `sh` block is run, those of a page one after another in one shell, unless the line before it
is `<!-- needs: … -->` with what a test machine lacks.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from deploy.kafka import Broker
from deploy.kafka.ports import free_ports
from tests.docs.guide import PAGES, ROOT, Block, blocks

_SECONDS: Final = 240.0
# The broker, the topics and two ports as the pages name them; a run puts its own in their place.
_BROKERS: Final = "localhost:9092"
_TOPICS: Final = {
    "DEDUP_INPUT_TOPIC": "raw-events",
    "DEDUP_UNIQUE_TOPIC": "deduplicated-events",
    "DEDUP_DUPLICATE_TOPIC": "duplicates-dlq",
    "DEDUP_LATE_TOPIC": "late-events",
    "DEDUP_INVALID_TOPIC": "invalid-events",
}
_PORTS: Final = ("21021", "21022")


def commands(page: Path) -> list[Block]:
    return [block for block in blocks(page) if block.language == "sh"]


def runnable(page: Path) -> list[Block]:
    return [block for block in commands(page) if block.needs is None]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the repository's files, with this environment as its `.venv`."""
    ask = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(ask, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    copy = tmp_path / "copy"
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            target = copy / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target)
    environment = copy / ".venv"
    environment.mkdir()
    for entry in Path(sys.prefix).iterdir():
        (environment / entry.name).symlink_to(entry)
    stamp = environment / ".installed"
    stamp.unlink(missing_ok=True)
    stamp.touch()  # newer than the copied files: make has nothing to install
    return copy


@pytest.mark.parametrize("page", [page for page in PAGES if runnable(page)], ids=lambda p: p.name)
def test_the_commands_of_a_page_work(
    page: Path, copy: Path, broker: Broker, topic_prefix: str
) -> None:
    text = "\n".join(block.text for block in runnable(page))
    text = text.replace(_BROKERS, broker.bootstrap)
    topics = {name: f"{topic_prefix}-{topic}" for name, topic in _TOPICS.items()}
    for name, topic in _TOPICS.items():
        text = text.replace(f'"{topic}"', f'"{topics[name]}"')
    for port, free in zip(_PORTS, free_ports(len(_PORTS)), strict=True):
        text = text.replace(port, str(free))
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DEDUP_", "BYTEWAX_", "MAKE"))
    }

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=copy,
        env={**environ, **topics, "DEDUP_APP_ID": topic_prefix},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )

    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert done.stdout.count("ok: every input record is answered exactly once") == text.count(
        "dedup audit"
    )


def test_what_cannot_be_run_says_why() -> None:
    needs = {(page.name, block.needs) for page in PAGES for block in commands(page) if block.needs}
    assert needs == {
        ("README.md", "ten minutes"),
        ("README.md", "minutes"),
        ("CONTRIBUTING.md", "twenty minutes"),
        ("README.md", "a terminal of its own"),
        ("quickstart.md", "a terminal of its own"),
        ("migrating.md", "Kafka's tools"),
        ("migrating.md", "a job to move from"),
        ("performance.md", "many minutes of a quiet machine"),
        ("operations.md", "Docker"),
        ("operations.md", "Kafka's tools"),
        ("operations.md", "a Kubernetes cluster"),
        ("operations.md", "a running job"),
        ("operations.md", "waxctl and a Kubernetes cluster"),
        ("runbook.md", "a Kubernetes cluster"),
        ("runbook.md", "Kafka's tools"),
        ("runbook.md", "a running job"),
    }
