"""A process that was killed while RocksDB made a lane's database could not start again.

The folder held files but no `CURRENT`, which was taken for a damaged database.
"""

from pathlib import Path
from typing import Final

import pytest

from operators.errors import StateError
from operators.windows.disk.rocksdb import META, RocksDatabase, RocksMemory

IDENTITY: Final = {"lane": 0}
# What was found after kills at random moments of a first start, in the order of its making.
BEGUN: Final = (
    ("rocksdict-config.json",),
    ("rocksdict-config.json", "LOG"),
    ("rocksdict-config.json", "LOG", "LOCK", "000000.dbtmp"),
    ("rocksdict-config.json", "LOG", "LOCK", "IDENTITY"),
    ("rocksdict-config.json", "LOG", "LOCK", "IDENTITY", "MANIFEST-000001"),
    ("rocksdict-config.json", "LOG", "LOCK", "IDENTITY", "MANIFEST-000001", "000001.dbtmp"),
)


def made(folder: Path) -> Path:
    """A database, with all the files that one has."""
    database = RocksDatabase(folder, RocksMemory(), IDENTITY)
    batch = database.batch()
    batch.put(META, b"key", b"value")
    database.write(batch)
    database.close()
    return folder


@pytest.mark.parametrize("names", BEGUN)
@pytest.mark.parametrize("empty", [True, False])
def test_what_was_begun_is_made_again(tmp_path: Path, names: tuple[str, ...], empty: bool) -> None:
    whole, folder = made(tmp_path / "whole"), tmp_path / "begun"
    folder.mkdir()
    for name in names:
        source = whole / name
        known = source.exists() and not empty
        (folder / name).write_bytes(source.read_bytes() if known else b"")

    database = RocksDatabase(folder, RocksMemory(), IDENTITY)

    assert database.get_one(META, b"key") is None
    batch = database.batch()
    batch.put(META, b"key", b"other")
    database.write(batch)
    assert database.get_one(META, b"key") == b"other"
    database.close()


def test_a_database_that_lost_its_current_file_is_refused(tmp_path: Path) -> None:
    folder = made(tmp_path / "whole")
    (folder / "CURRENT").unlink()

    with pytest.raises(StateError, match="or what is left of a damaged one"):
        RocksDatabase(folder, RocksMemory(), IDENTITY)


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "LOG").write_text("")
    (tmp_path / "notes.txt").write_text("")

    with pytest.raises(StateError, match="holds other files than a database"):
        RocksDatabase(tmp_path, RocksMemory(), IDENTITY)
