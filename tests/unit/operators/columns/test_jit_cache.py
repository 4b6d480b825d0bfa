"""Compiled loops on disk: read again, unless they are damaged or of other sources."""

import errno
import os
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import llvmlite
import numba
import numpy as np
import pytest
from numba.core.caching import Cache

from operators.columns import jit_cache
from operators.columns.jit import jit
from operators.columns.jit_cache import sources_stamp

ROOT = Path(__file__).resolve().parents[4]


def add_up(numbers: Any) -> int:  # noqa: ANN401
    total = 0
    for number in numbers:
        total += number
    return total


_TWO_LOOPS = """
import sys
import numba, numpy as np
from operators.columns.byte_column import ByteColumn
print(list(ByteColumn.of([b"a", b"bc"]).take(np.array([1]))), "numba.np.linalg" in sys.modules)
print(numba.njit(lambda numbers: np.median(numbers))(np.arange(3.0)))
"""


def test_a_kept_loop_loads_without_the_compiler_and_another_still_compiles(
    tmp_path: Path,
) -> None:
    def run() -> list[str]:
        line = [sys.executable, "-c", _TWO_LOOPS]
        env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
        return subprocess.run(
            line, check=True, capture_output=True, text=True, env=env
        ).stdout.splitlines()

    assert run() == ["[b'bc'] True", "1.0"]
    assert run() == ["[b'bc'] False", "1.0"]


@pytest.mark.parametrize("name", ["_index_key", "_impl"])
def test_nothing_is_kept_if_numba_keeps_loops_in_another_way(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    if name == "_impl":
        monkeypatch.setattr(Cache, "__init__", lambda _, __: None)
    else:
        monkeypatch.delattr(Cache, name)
    assert jit(add_up)(np.arange(5)) == 10
    assert files_in(tmp_path) == []


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], list[Path]]:
    """Files that are kept of `add_up`: one, for integers."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    assert jit(add_up)(np.arange(5)) == 10
    assert len(files_in(tmp_path)) == 1
    return lambda: files_in(tmp_path)


def hits(loop: object) -> int:
    """How often a loop was read from disk and not compiled."""
    counts: Counter[object] = loop.stats.cache_hits  # type: ignore[attr-defined]
    return sum(counts.values())


def again() -> int:
    """Start again with the kept file; return 1 if it was used, 0 if not."""
    loop = jit(add_up)
    assert loop(np.arange(5)) == 10
    return hits(loop)


def test_a_kept_loop_is_used_again(kept: Callable[[], list[Path]]) -> None:
    [before] = [path.stat().st_mtime_ns for path in kept()]
    assert again() == 1
    assert [path.stat().st_mtime_ns for path in kept()] == [before]


@pytest.mark.parametrize(
    "library, name",
    [(numba, "__version__"), (llvmlite, "__version__"), (np, "__version__"), (sys, "version")],
)
def test_code_of_other_versions_is_not_used(
    monkeypatch: pytest.MonkeyPatch, kept: Callable[[], list[Path]], library: ModuleType, name: str
) -> None:
    jit_cache._stamp_at_start.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(library, name, "another")
        assert again() == 0
    jit_cache._stamp_at_start.cache_clear()
    assert again() == 0  # it was overwritten
    assert again() == 1
    assert len(kept()) == 1


@pytest.mark.parametrize("damage", ["cut", "emptied", "changed", "gone"])
def test_a_damaged_file_is_written_again(kept: Callable[[], list[Path]], damage: str) -> None:
    [path] = kept()
    whole = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        changed = whole[:-1] + bytes([whole[-1] ^ 1])
        path.write_bytes({"cut": whole[:-1], "emptied": b"", "changed": changed}[damage])
    assert again() == 0
    assert again() == 1


def test_a_file_under_the_name_of_another_signature_is_not_used(
    kept: Callable[[], list[Path]],
) -> None:
    [of_ints] = kept()
    assert jit(add_up)(np.arange(5.0)) == 10
    [of_floats] = set(kept()) - {of_ints}
    of_floats.write_bytes(of_ints.read_bytes())
    loop = jit(add_up)
    assert loop(np.arange(5.0) / 4) == 2.5
    assert hits(loop) == 0


def test_nothing_is_kept_of_sources_that_changed_since_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(jit_cache, "sources_stamp", lambda: b"of the new sources")
    assert again() == 0
    assert files_in(tmp_path) == []


def test_a_full_disk_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_: object, __: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(Path, "write_bytes", full)
    assert again() == 0
    assert "each start compiles it again: [Errno 28] No space left on device" in caplog.text
    assert str(tmp_path) in caplog.text


def test_every_source_of_the_packages_that_hold_loops_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for package in jit_cache.PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package)
    monkeypatch.setattr(jit_cache, "files", lambda package: tmp_path / package)
    stamp = sources_stamp()
    assert stamp == jit_cache._stamp_at_start()  # neither folder nor times count
    paths = [path for package in jit_cache.PACKAGES for path in tmp_path.glob(f"{package}/**/*.py")]
    assert len(paths) > 100
    for path in paths:
        content = path.read_bytes()
        path.write_bytes(content + b"#")
        assert sources_stamp() != stamp, path
        path.write_bytes(content)
    assert sources_stamp() == stamp
    paths[0].rename(paths[0].with_name("other.py"))
    assert sources_stamp() != stamp
    shutil.rmtree(tmp_path)
    for package in jit_cache.PACKAGES:
        (tmp_path / package).mkdir(parents=True)
    with pytest.raises(RuntimeError, match="no source files"):
        sources_stamp()


def test_all_loops_are_in_these_packages() -> None:
    """The stamp would not cover a loop elsewhere, nor one that numba keeps by itself."""
    for path in (*ROOT.glob("flows/**/*.py"), *ROOT.glob("operators/**/*.py")):
        text = path.read_text("utf-8")
        if "numba" in text or "operators.columns.jit" in text:
            assert path.relative_to(ROOT).parts[0] in jit_cache.PACKAGES, path
            assert "cache=True)" not in text, path


def test_sources_in_an_archive_have_the_same_stamp(tmp_path: Path) -> None:
    archive = tmp_path / "sources.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for package in jit_cache.PACKAGES:
            for path in (ROOT / package).rglob("*.py"):
                file.write(path, path.relative_to(ROOT))
    line = "from operators.columns.jit_cache import sources_stamp; print(sources_stamp().hex())"
    said = subprocess.run(
        [sys.executable, "-c", line],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(archive)},
    ).stdout
    assert said.strip() == sources_stamp().hex()
