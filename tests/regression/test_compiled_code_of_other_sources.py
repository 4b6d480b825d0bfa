"""Compiled loops that were kept while other sources stood there: they met the new ones' data.

A loop inlines functions of other files, but was compared with its own file only.  After an
upgrade that changed how keys are spread over the index, no key of before was found again.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.job import recovery_directory

ROOT = Path(__file__).resolve().parents[2]
_MULTIPLIER = "_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)"
_SECONDS = 120


def source_tree(folder: Path) -> Path:
    """A copy of the sources without anything compiled."""
    tree = folder / "tree"
    for package in ("operators", "connectors", "flows"):
        without = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, tree / package, ignore=without)
    return tree


def environment(**more: str) -> dict[str, str]:
    left_out = ("DEDUP_", "BYTEWAX_", "NUMBA_", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    return kept | more


def run_job(tree: Path, folder: Path, lines: Iterable[int], **env: str) -> None:
    """Answer more lines, an event each, where the last run ended."""
    recovery = folder / "recovery"
    if not recovery.exists():
        recovery_directory(recovery)
    with (folder / "input.jsonl").open("a") as file:
        for number in lines:
            event = {"event_id": f"e{number}", "user_id": "u", "event_type": "t", "data": {}}
            file.write(json.dumps(event | {"timestamp": 1_000_000}) + "\n")
    subprocess.run(
        shlex.split(f"{sys.executable} -m bytewax.run flows.dedup -r {recovery} -s 1 -b 0"),
        cwd=tree,
        env=environment(
            DEDUP_INPUT_FILE=str(folder / "input.jsonl"),
            DEDUP_OUTPUT_DIR=str(folder / "out"),
            **env,
        ),
        check=True,
        timeout=_SECONDS,
    )


def answered(folder: Path) -> dict[str, int]:
    return {path.stem: len(path.read_bytes().splitlines()) for path in folder.glob("out/*.jsonl")}


@pytest.mark.parametrize("where", ["a folder for compiled code", "beside the sources"])
def test_keys_of_before_are_found_after_a_file_changes_that_loops_inline(
    tmp_path: Path, where: str
) -> None:
    tree = source_tree(tmp_path)
    kept = {"NUMBA_CACHE_DIR": str(tmp_path / "kept")} if where.startswith("a folder") else {}
    run_job(tree, tmp_path, range(1000), **kept)
    assert answered(tmp_path) == {"unique": 1000, "duplicate": 0, "late": 0, "invalid": 0}

    index = tree / "operators" / "windows" / "key_table" / "probing.py"
    sources = index.read_text("utf-8")
    assert _MULTIPLIER in sources
    index.write_text(
        sources.replace(_MULTIPLIER, "_MULTIPLIER = np.uint64(0xD6E8FEB86659FD93)"), "utf-8"
    )
    run_job(tree, tmp_path, range(1000), **kept)
    assert answered(tmp_path) == {"unique": 1000, "duplicate": 1000, "late": 0, "invalid": 0}


def test_a_second_start_compiles_nothing_nor_does_one_of_a_copy_elsewhere(tmp_path: Path) -> None:
    tree, kept = source_tree(tmp_path), tmp_path / "kept"

    def loops() -> dict[str, int]:
        """Whatever is compiled is written, over what may be there."""
        return {path.name: path.stat().st_mtime_ns for path in kept.rglob("*") if path.is_file()}

    some = [*range(500), *range(500)]
    for _ in range(2):  # a start with a snapshot needs more of them
        run_job(tree, tmp_path, some, NUMBA_CACHE_DIR=str(kept))
    first = loops()
    assert len(first) > 10
    run_job(tree, tmp_path, some, NUMBA_CACHE_DIR=str(kept))
    assert loops() == first

    # As an image that is built again: other times, and numba's folder of another path.
    moved = tree.rename(tmp_path / "moved")
    for path in moved.rglob("*.py"):
        os.utime(path, (1, 1))
    for folder in kept.iterdir():
        name = folder.name.rpartition("_")[0]
        [sources] = [path for path in moved.rglob(name) if path.is_dir()]
        folder.rename(kept / numba_folder(sources))
    run_job(moved, tmp_path, some, NUMBA_CACHE_DIR=str(kept))
    assert loops() == first
    assert answered(tmp_path) == {"unique": 500, "duplicate": 3500, "late": 0, "invalid": 0}


def numba_folder(sources: Path) -> str:
    from numba.core.caching import UserProvidedCacheLocator  # noqa: PLC0415 - slow to import

    locator: Any = UserProvidedCacheLocator
    return str(locator.get_suitable_cache_subpath(str(sources / "any.py")))


# Twice each number: an array of whole numbers and one of fractions are two signatures.  It stops
# before each file that it brings into place, says so, and waits for a line.
_PROCESS = """
import os, sys
import numpy as np
import twice
def stop(event, arguments):
    if event == "os.rename" and str(arguments[0]).startswith(sys.argv[2]):
        print("stops", flush=True)
        sys.stdin.readline()
sys.addaudithook(stop)
print(twice.twice(np.arange(4, dtype=sys.argv[1])).tolist(), flush=True)
print("ends", flush=True)
"""
_TWICE = """
import numpy as np
from operators.columns.jit import jit
@jit
def twice(numbers):
    doubled = np.empty_like(numbers)
    for row in range(len(numbers)):
        doubled[row] = numbers[row] * 2
    return doubled
"""
_ANSWERS = {"int64": "[0, 2, 4, 6]", "float64": "[0.0, 2.0, 4.0, 6.0]"}


class _Process:
    """A start that compiles for one type of numbers, stopped before each file it writes."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.said: list[str] = []

    def go_on(self, *, waits: bool = True) -> bool:
        """Let it write a file; returns whether it then stops before another one."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if waits:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        for line in self._process.stdout:
            if line == "stops\n":
                return True
            self.said.append(line.strip())
            if line == "ends\n":
                return False
        pytest.fail("the process ended too soon")

    def finish(self) -> None:
        while self.go_on():
            pass


@contextmanager
def starting(folder: Path, numbers: str) -> Iterator[_Process]:
    """A process that has imported its modules and compiles."""
    line = [sys.executable, "-c", _PROCESS, numbers, str(folder / "kept")]
    env = environment(
        NUMBA_CACHE_DIR=str(folder / "kept"), PYTHONPATH=f"{folder}{os.pathsep}{ROOT}"
    )
    with subprocess.Popen(
        line, env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            yield _Process(process)
        finally:
            process.kill()


def check(folder: Path) -> None:
    """Later starts with both types get the loops of theirs, whichever were kept."""
    for numbers, answer in _ANSWERS.items():
        with starting(folder, numbers) as process:
            if process.go_on(waits=False):
                process.finish()
            assert process.said == [answer, "ends"]


@pytest.mark.parametrize("first, second", [("int64", "float64"), ("float64", "int64")])
def test_two_starts_at_once_do_not_mix_the_code_of_two_signatures(
    tmp_path: Path, first: str, second: str
) -> None:
    (tmp_path / "twice.py").write_text(_TWICE)
    with ExitStack() as stack:
        one = stack.enter_context(starting(tmp_path, first))
        other = stack.enter_context(starting(tmp_path, second))
        # Both have looked at the folder, with nothing in it, and are about to write.
        assert one.go_on(waits=False)
        assert other.go_on(waits=False)
        more = one.go_on()
        other.finish()
        if more:
            one.finish()
        assert one.said == [_ANSWERS[first], "ends"]
        assert other.said == [_ANSWERS[second], "ends"]

    check(tmp_path)


_ROUNDS, _AT_ONCE = 3, 4
_MANY = """
import sys
import numpy as np
import twice
numbers = sys.argv[1].split(",")
sys.stdin.readline()
for name in numbers:
    found = twice.twice(np.arange(100, dtype=name))
    assert found.dtype == name and (found == 2 * np.arange(100)).all(), (name, found)
"""


def test_many_starts_at_once_in_any_order_of_signatures(tmp_path: Path) -> None:
    (tmp_path / "twice.py").write_text(_TWICE)
    names = ["int64", "float64", "int32", "float32", "uint64", "uint32"]
    for round_ in range(_ROUNDS):
        kept = tmp_path / f"kept-{round_}"
        env = environment(NUMBA_CACHE_DIR=str(kept), PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
        # The second time everything is kept, and has to be right.
        for _ in range(2):
            with ExitStack() as stack:
                processes = [
                    stack.enter_context(
                        subprocess.Popen(
                            [sys.executable, "-c", _MANY, ",".join(names[at:] + names[:at])],
                            env=env,
                            text=True,
                            stdin=subprocess.PIPE,
                            stderr=subprocess.PIPE,
                        )
                    )
                    for at in range(_AT_ONCE)
                ]
                for process in processes:
                    assert process.stdin is not None
                    process.stdin.write("\n")
                    process.stdin.flush()
                said = [process.communicate(timeout=_SECONDS)[1] for process in processes]
                statuses = [process.returncode for process in processes]
            assert statuses == [0] * _AT_ONCE, said
        assert len(list(kept.rglob("twice-*.loop"))) == len(names)
        assert len(list(kept.rglob("twice-*"))) == len(names)
