"""RocksDB as the stores use it: memory is bounded, folders are checked, errors fit in one line.

Needs the extra `rocksdb` (package rocksdict); imported only where DEDUP_STATE=rocksdb.
"""

# ruff: noqa: FBT003 - RocksDB's own setters take a bare true or false
from __future__ import annotations

import contextlib
import re
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from rocksdict import (
    AccessType,
    BlockBasedOptions,
    Cache,
    DataBlockIndexType,
    DBCompressionType,
    Options,
    Rdict,
    WriteBatch,
    WriteBufferManager,
)

from operators.errors import StateError
from operators.fingerprint import changed_settings

# For all lanes of a process together: blocks, their filters and indexes, and writes that
# are not on disk yet.  Twice the memory state's overhead for the job itself; with ten
# times as much on disk the filters (1.25 bytes a key) still fit.
MEMORY_BYTES = 256 << 20
# A quarter of the memory is for writes: fewer and larger files need less compaction.
_WRITE_SHARE = 4
# One lookup in 120 of an absent key costs a read; one more bit per key halves that.
_FILTER_BITS = 10
# Writes that are not in files yet have a filter, too: 1 % of their memory, allocated at once
# for each lane, seven bits a key.
_FILTER_SHARE = 0.01
# Larger blocks compress better; smaller ones waste less cache beside the key.
_BLOCK_BYTES = 8 << 10
_FILE_BYTES = 32 << 20
# A process has a thousand descriptors by default, and several lanes.
_OPEN_FILES = 128
_LOG_BYTES = 1 << 20

KEYS, ORDER, ENDS, BUCKETS, META = FAMILIES = ("keys", "order", "ends", "buckets", "meta")
_IDENTITY = b"identity"
_VERSION = 2


class InUseError(StateError):
    """Another process has the database open."""


class RocksMemory:
    """Memory that all databases of a process share."""

    def __init__(self, size_bytes: int = MEMORY_BYTES) -> None:
        """size_bytes: in total, > 0."""
        self._cache = Cache(size_bytes)
        self._writing = WriteBufferManager.new_write_buffer_manager_with_cache(
            size_bytes // _WRITE_SHARE, False, self._cache
        )

    def options(self, family: str = "default") -> Options:
        """Options of a database, or of one of its column families."""
        table = BlockBasedOptions()
        table.set_block_cache(self._cache)
        table.set_cache_index_and_filter_blocks(True)
        table.set_pin_l0_filter_and_index_blocks_in_cache(True)
        table.set_bloom_filter(_FILTER_BITS, False)
        table.set_block_size(_BLOCK_BYTES)
        table.set_format_version(5)
        table.set_data_block_index_type(DataBlockIndexType.binary_and_hash())
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.create_missing_column_families(True)
        options.set_block_based_table_factory(table)
        options.set_compression_type(DBCompressionType.lz4())
        options.set_level_compaction_dynamic_level_bytes(True)
        options.set_write_buffer_manager(self._writing)
        options.set_write_buffer_size(_FILE_BYTES)
        options.set_target_file_size_base(_FILE_BYTES)
        if family == KEYS:  # most lookups are of absent keys
            options.set_memtable_whole_key_filtering(True)
            options.set_memtable_prefix_bloom_ratio(_FILTER_SHARE)
        options.set_max_background_jobs(2)
        options.set_max_open_files(_OPEN_FILES)
        options.set_keep_log_file_num(2)
        options.set_max_log_file_size(_LOG_BYTES)
        return options


# Files of a database without data: a process may be killed while it makes one.  RocksDB
# starts again over these.
_BEGUN = re.compile(r"rocksdict-config\.json|LOCK|LOG|IDENTITY|MANIFEST-\d+|\d+\.dbtmp")


class RocksDatabase:
    """One lane's database.

    Promises: a folder with other files, with another lane's or application's database, or
    with a damaged one raises StateError that says what to do.  This class deletes nothing
    that it did not write.
    """

    def __init__(self, folder: Path, memory: RocksMemory, identity: dict[str, Any]) -> None:
        """folder: created if it is missing.  identity: must be equal at every opening."""
        self.folder = folder
        _check_folder(folder)
        options = memory.options()
        families = {name: memory.options(name) for name in FAMILIES}
        try:
            _check_families(folder)
            folder.mkdir(parents=True, exist_ok=True)
            self._database = Rdict(str(folder), options, column_families=families)
        except StateError:
            raise
        except Exception as error:
            raise _explained(folder, error) from error
        self.families = {name: self._database.get_column_family(name) for name in FAMILIES}
        self._handles = {name: self._database.get_column_family_handle(name) for name in FAMILIES}
        # Closed before the process ends at the latest: RocksDB's threads may crash a process
        # that ends while they work.
        self._closing = weakref.finalize(
            self, _close, self._database, list(self.families.values()), self._handles
        )
        self._check_identity(identity)

    def _check_identity(self, identity: dict[str, Any]) -> None:
        expected = {"version": _VERSION, **identity}
        stored = self.get_one(META, _IDENTITY)
        if stored is None:
            batch = self.batch()
            batch.put(META, _IDENTITY, msgspec.msgpack.encode(expected))
            self.write(batch)
            return
        written = msgspec.msgpack.decode(stored)
        if not (changed := changed_settings(written, expected)):
            return
        self.close()
        was = " and ".join(f"{name}={before}, which is {now} now" for name, before, now in changed)
        msg = (
            f"{self.folder} was written with {was}: set {'it' if len(changed) == 1 else 'them'} "
            "back, name another folder in DEDUP_STATE_DIR, or delete this one; its keys are then "
            "read from the changelog"
        )
        raise StateError(msg)

    def get(self, family: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the value of each key, None if there is none."""
        try:
            values: list[bytes | None] = self.families[family].get(list(keys)) if keys else []  # type: ignore[assignment]
        except Exception as error:
            raise _explained(self.folder, error) from error
        return values

    def get_one(self, family: str, key: bytes) -> bytes | None:
        """Return the value of one key."""
        return self.get(family, [key])[0]

    def first_key(self, family: str) -> bytes | None:
        """Return the smallest key of a family."""
        return next((key for key, _ in self.items(family)), None)

    def items(self, family: str, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield keys and values in the order of the keys, from `start` on."""
        yield from self.families[family].items(from_key=start)

    def batch(self) -> RocksBatch:
        """Make an empty batch of changes."""
        return RocksBatch(self._handles)

    def write(self, batch: RocksBatch) -> None:
        """Write a batch, all of it or nothing."""
        try:
            self._database.write(batch.raw)
        except Exception as error:
            raise _explained(self.folder, error) from error

    def disk_bytes(self) -> int:
        """Return the size of the files, and of writes that are not in files yet."""
        names = ("rocksdb.total-sst-files-size", "rocksdb.cur-size-all-mem-tables")
        return sum(
            family.property_int_value(name) or 0
            for family in self.families.values()
            for name in names
        )

    def close(self) -> None:
        """Close the database, so that it can be opened again; a second call does nothing."""
        self._closing()


class RocksBatch:
    """Changes that are written together or not at all."""

    def __init__(self, handles: dict[str, Any]) -> None:
        self.raw = WriteBatch(raw_mode=True)
        self._handles = handles

    def put(self, family: str, key: bytes, value: bytes) -> None:
        """Put one key."""
        self.raw.put(key, value, self._handles[family])

    def put_all(self, family: str, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        """Put many keys."""
        put, handle = self.raw.put, self._handles[family]
        for key, value in zip(keys, values, strict=True):
            put(key, value, handle)

    def delete(self, family: str, keys: Sequence[bytes]) -> None:
        """Delete many keys."""
        delete, handle = self.raw.delete, self._handles[family]
        for key in keys:
            delete(key, handle)

    def delete_range(self, family: str, begin: bytes, end: bytes) -> None:
        """Delete the keys from `begin` up to but not including `end`."""
        self.raw.delete_range(begin, end, self._handles[family])


def _close(database: Rdict, families: Sequence[Rdict], handles: dict[str, Any]) -> None:
    for family in families:
        _close_one(family)
    # A handle keeps the database open, even one in a batch.
    handles.clear()
    _close_one(database)


def _close_one(database: Rdict) -> None:
    # Changes that could not be written are in the database's log or in the changelog.
    with contextlib.suppress(Exception):
        database.close()


def _check_folder(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        msg = f"{folder} is not a folder: name another in DEDUP_STATE_DIR"
        raise StateError(msg)
    names = {path.name for path in folder.iterdir()}
    if names and "CURRENT" not in names and not all(map(_BEGUN.fullmatch, names)):
        msg = (
            f"{folder} holds other files than a database, or what is left of a damaged one: name "
            "another folder in DEDUP_STATE_DIR, or delete this one; its keys are then read from "
            "the changelog"
        )
        raise StateError(msg)


def _check_families(folder: Path) -> None:
    """Reject another program's database before anything is added to it."""
    if not (folder / "CURRENT").exists():
        return
    families = set(Rdict.list_cf(str(folder), Options(raw_mode=True)))
    foreign = not families <= {"default", *FAMILIES}
    if families == {"default"}:  # another program's, or ours if the process died while making it
        access = AccessType.read_only(error_if_log_file_exist=False)
        database = Rdict(str(folder), Options(raw_mode=True), access_type=access)
        foreign = next(iter(database.keys()), None) is not None
        database.close()
    if foreign:
        msg = (
            f"{folder} holds a RocksDB database that is not this program's: name another folder "
            "in DEDUP_STATE_DIR"
        )
        raise StateError(msg)


def _explained(folder: Path, error: Exception) -> Exception:
    """Return an error that says in one line what is wrong with a database."""
    text = " ".join(str(error).split())
    if isinstance(error, OSError):
        return StateError(f"cannot use {folder} (DEDUP_STATE_DIR): {error.strerror}")
    if "lock hold by" in text or "While lock file" in text:
        return InUseError(
            f"{folder} is in use by another process: end it, or give this one a folder of its own "
            "in DEDUP_STATE_DIR"
        )
    if "No space left" in text:
        return StateError(f"no space left for {folder} (DEDUP_STATE_DIR): {text}")
    if "Corruption" in text or "Invalid argument" in text or "No such file" in text:
        return StateError(
            f"the database in {folder} is damaged ({text}): delete that folder; its keys are then "
            "read from the changelog"
        )
    if "IO error" in text:
        return StateError(f"cannot use {folder} (DEDUP_STATE_DIR): {text}")
    return error
