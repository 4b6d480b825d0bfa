"""Databases that are ours and whole, and all others."""

import subprocess
import sys
from pathlib import Path

import pytest
from rocksdict import Options, Rdict

from operators.errors import StateError
from operators.windows.disk.rocksdb import (
    FAMILIES,
    KEYS,
    ORDER,
    InUseError,
    RocksDatabase,
    RocksMemory,
)

MEMORY = RocksMemory(8 << 20)
IDENTITY = {"DEDUP_WINDOW": '"tumbling"', "lane": 3}


def opened(folder: Path, **other: object) -> RocksDatabase:
    return RocksDatabase(folder, MEMORY, IDENTITY | other)


def filled(folder: Path) -> Path:
    database = opened(folder)
    batch = database.batch()
    batch.put_all(KEYS, [b"a", b"b", b"c"], [b"1", b"2", b"3"])
    batch.put(ORDER, b"a", b"x")
    database.write(batch)
    database.close()
    return folder


def refused(folder: Path, **other: object) -> str:
    kept = [path for path in folder.rglob("*") if path.suffix in {".sst", ".txt"}]
    before = {path: path.read_bytes() for path in kept}
    with pytest.raises(StateError) as caught:
        opened(folder, **other)
    message = str(caught.value)
    assert message.splitlines() == [message]
    # Whatever it is, nothing of it is gone.
    for path, content in before.items():
        assert path.read_bytes() == content
    return message


def test_what_was_written_is_there_again(tmp_path: Path) -> None:
    database = opened(filled(tmp_path / "new" / "folder"))
    assert database.get(KEYS, [b"c", b"x", b"a"]) == [b"3", None, b"1"]
    assert database.get(KEYS, []) == []
    assert list(database.items(KEYS)) == [(b"a", b"1"), (b"b", b"2"), (b"c", b"3")]
    assert database.get_one(ORDER, b"a") == b"x"
    assert database.disk_bytes() > 0
    batch = database.batch()
    batch.delete_range(KEYS, b"", b"b\0")
    batch.delete(ORDER, [b"a"])
    database.write(batch)
    assert list(database.items(KEYS)) == [(b"c", b"3")]
    assert database.get_one(ORDER, b"a") is None
    database.close()


def test_another_setting_or_lane_is_named(tmp_path: Path) -> None:
    folder = filled(tmp_path / "lane")
    assert 'DEDUP_WINDOW="tumbling", which is "sliding" now' in refused(
        folder, DEDUP_WINDOW='"sliding"'
    )
    assert "lane=3, which is 4 now" in refused(folder, lane=4)
    opened(folder).close()


def test_files_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert "holds other files than a database" in refused(tmp_path)
    file = tmp_path / "file"
    file.write_text("")
    assert "is not a folder" in refused(file)


@pytest.mark.parametrize("family", ["default", "theirs"])
def test_a_database_of_another_program(tmp_path: Path, family: str) -> None:
    folder = str(tmp_path / "theirs")
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.create_missing_column_families(True)
    theirs = Rdict(folder, options, column_families={family: options})
    theirs.put(b"their", b"data")
    theirs.close()
    assert "not this program's" in refused(Path(folder))
    again = Rdict(folder, options, column_families={family: options})
    assert again.get(b"their") == b"data"
    again.close()


def test_an_empty_folder_and_one_that_was_just_begun(tmp_path: Path) -> None:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    Rdict(str(tmp_path / "begun"), options).close()
    opened(tmp_path / "begun").close()
    (tmp_path / "empty").mkdir()
    opened(tmp_path / "empty").close()
    for name in ("begun", "empty"):
        found = Rdict.list_cf(str(tmp_path / name), Options(raw_mode=True))
        assert set(FAMILIES) <= set(found)


@pytest.mark.parametrize("name", ["MANIFEST-*", "CURRENT", "*.sst"])
def test_a_damaged_database(tmp_path: Path, name: str) -> None:
    folder = filled(tmp_path / "lane")
    opened(folder).close()  # what is in the log becomes a file
    paths = list(folder.glob(name))
    assert paths
    for path in paths:
        path.write_bytes(path.read_bytes()[: len(path.read_bytes()) // 3])
    message = refused(folder)
    assert "damaged" in message
    assert "read from the changelog" in message


def test_a_part_of_a_database(tmp_path: Path) -> None:
    folder = filled(tmp_path / "lane")
    (folder / "CURRENT").unlink()
    assert "damaged" in refused(folder)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="DEDUP_STATE_DIR"):
        opened(tmp_path / "file" / "lane")


def test_a_database_in_use_is_told_from_a_damaged_one(tmp_path: Path) -> None:
    database = opened(tmp_path / "lane")
    with pytest.raises(InUseError, match="in use by another process"):
        opened(tmp_path / "lane")
    code = (
        "import sys; from pathlib import Path; from operators.windows.disk.rocksdb import *\n"
        "try: RocksDatabase(Path(sys.argv[1]), RocksMemory(1 << 20), {})\n"
        "except InUseError: print('in use')"
    )
    other = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "lane")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout == "in use\n"
    database.close()
    opened(tmp_path / "lane").close()


def test_a_process_that_ends_closes_its_databases(tmp_path: Path) -> None:
    """Also one that something still holds: RocksDB's threads may crash the end otherwise."""
    code = (
        "import ctypes, sys; from pathlib import Path\n"
        "from operators.windows.disk.rocksdb import *\n"
        "database = RocksDatabase(Path(sys.argv[1]), RocksMemory(1 << 20), {})\n"
        "batch = database.batch(); batch.put(KEYS, b'key', b'value'); database.write(batch)\n"
        "ctypes.pythonapi.Py_IncRef(ctypes.py_object(database))\n"
    )
    folder = tmp_path / "lane"
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True)
    assert "Shutdown complete" in (folder / "LOG").read_text()


def test_closing_again_is_nothing(tmp_path: Path) -> None:
    database = opened(tmp_path / "lane")
    batch = database.batch()
    batch.put(KEYS, b"key", b"value")
    database.write(batch)
    database.close()
    database.close()
    again = opened(tmp_path / "lane")
    assert again.get_one(KEYS, b"key") == b"value"
    again.close()
