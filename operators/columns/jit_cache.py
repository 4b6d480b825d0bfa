"""Compiled loops on disk, read again only if compiling would give the same code.

numba's own cache files become stale when a loop inlines a function of another file: numba
checks the loop's file alone.  And two processes that write at once can leave the code of one
signature under the name of another: numba writes an index first and the code later.  So:

1. A file holds one loop for one signature, and its key is stored beside the code.
2. The file begins with a hash of `sources_stamp` and of all that follows.  Code of other
   sources and incomplete files have another hash.
3. A file is written under a temporary name and then renamed: readers see all of it or nothing.
4. A file is written only if the sources on disk are still those of this process's start.

So any number of processes and versions can share a folder, and files can be deleted at any
time.  Two versions that run at the same time overwrite each other's files: that costs the
next start a compilation, nothing else.
"""

from __future__ import annotations

import hashlib
import logging
import pickle
import sys
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import uuid4

import llvmlite
import numba
import numpy as np
from numba.core.caching import FunctionCache
from numba.core.runtime import rtsys  # type: ignore[attr-defined]
from numba.core.serialize import dumps
from typing_extensions import override

if TYPE_CHECKING:
    from importlib.abc import Traversable  # elsewhere from Python 3.11 on, here until 3.13

log = logging.getLogger("dedup.compiled")

# The packages that hold all loops and all functions that loops inline.
PACKAGES = ("operators", "connectors")
# The private attributes of numba that are used here.  They are the same from 0.61 to 0.68.
_NUMBA_ATTRIBUTES = ("_impl", "_index_key", "_py_func")
_Key: TypeAlias = tuple[tuple[str, str, int], tuple[object, object, object]]
_HASH_BYTES = hashlib.sha256().digest_size


def sources_stamp() -> bytes:
    """Hash everything that decides what a loop is compiled to, except the kind of processor.

    The hash covers the source files of `PACKAGES`, by name in the package and content, and
    the versions of Python, numba, llvmlite and numpy.  Folder and file times do not count: a
    copy has the same hash.  Takes 2 ms.  Raises RuntimeError if there are no sources.
    """
    stamp = hashlib.sha256()
    for version in (sys.version, numba.__version__, llvmlite.__version__, np.__version__):
        stamp.update(f"{version}\n".encode())
    any_source = False
    for package in PACKAGES:
        for name, content in _sources(files(package), package):
            any_source = True
            stamp.update(f"{name} {len(content)}\n".encode())
            stamp.update(content)
    if not any_source:
        msg = "there are no source files to compare compiled loops with"
        raise RuntimeError(msg)
    return stamp.digest()


def _sources(folder: Traversable, name: str) -> Iterator[tuple[str, bytes]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        path = f"{name}/{entry.name}"
        if entry.name.endswith(".py") and not entry.name.startswith("."):  # no editor's lock
            yield path, entry.read_bytes()
        elif entry.is_dir():
            yield from _sources(entry, path)


_stamp_at_start = cache(sources_stamp)


class LoopCache(FunctionCache):
    """The cache files of one loop, in the folder that numba chooses, with the promises above."""

    def __init__(self, loop: Any) -> None:  # noqa: ANN401 - any function
        """Raise RuntimeError if nothing can be kept: no folder, no sources, another numba."""
        super().__init__(loop)  # type: ignore[no-untyped-call]  # numba's
        if not all(hasattr(self, name) for name in _NUMBA_ATTRIBUTES):
            msg = "this version of numba keeps compiled loops in another way"
            raise RuntimeError(msg)
        self._loop = (loop.__module__, loop.__qualname__, loop.__code__.co_firstlineno)
        # A loop outside the packages also depends on its own file, as in numba.
        self._stamp = _stamp_at_start(), _own_stamp(loop, self._locator)

    @property
    def _locator(self) -> Any:  # noqa: ANN401 - numba's
        return self._impl.locator

    @override
    def load_overload(self, sig: object, target_context: Any) -> object:
        """Return the loop for an argument signature, or None if it must be compiled.

        numba's version first imports everything that it can compile, which takes 0.125 s of
        each start.  The file alone is enough to run the loop.
        """
        rtsys.initialize(target_context)
        key = self._key(sig, target_context.codegen())
        reduced = self._read(key)
        return None if reduced is None else self._impl.rebuild(target_context, reduced)

    @override
    def save_overload(self, sig: object, data: Any) -> None:
        """Write the code that was compiled for an argument signature."""
        if not self._impl.check_cachable(data):
            return
        key = self._key(sig, data.codegen)
        try:
            if sources_stamp() == _stamp_at_start():
                self._locator.ensure_cache_path()
                self._write(key, self._impl.reduce(data))
        except OSError as error:  # a full disk, or sources being replaced
            log.warning(
                "%s: a compiled loop is not kept there, each start compiles it again: %s",
                self._locator.get_cache_path(),
                error,
            )

    @override
    def flush(self) -> None:
        """Do nothing: a new compilation overwrites the file."""

    def _key(self, sig: object, codegen: object) -> _Key:
        index_key: Any = self._index_key  # signature, processor, hashes of bytecode and closure
        return self._loop, index_key(sig, codegen)

    def _path(self, key: _Key) -> Path:
        """Return the file's path, which is the same for all sources: old files do not pile up."""
        (module, name, _), (sig, processor, _) = key
        full_name = repr((module, name, sys.implementation.cache_tag, sig, processor))
        short = name.rpartition(".")[-1].strip("<>")
        digest = hashlib.sha256(full_name.encode()).hexdigest()[:32]
        return Path(self._locator.get_cache_path(), f"{short}-{digest}.loop")

    def _hash(self, body: bytes) -> bytes:
        return hashlib.sha256(repr(self._stamp).encode() + body).digest()

    def _read(self, key: _Key) -> Any:  # noqa: ANN401 - numba's
        try:
            data = self._path(key).read_bytes()
        except OSError:  # absent, or not readable
            return None
        body = data[_HASH_BYTES:]
        if data[:_HASH_BYTES] != self._hash(body):
            return None
        stored_key, reduced = pickle.loads(body)  # noqa: S301 - our own, by its hash
        return reduced if stored_key == key else None

    def _write(self, key: _Key, reduced: object) -> None:
        path = self._path(key)
        body: bytes = dumps((key, reduced))  # type: ignore[no-untyped-call]  # numba's
        temporary = path.with_name(f"{path.name}.{uuid4().hex}")
        try:
            temporary.write_bytes(self._hash(body) + body)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _own_stamp(loop: Any, locator: Any) -> object:  # noqa: ANN401 - any function; numba's
    if loop.__module__.partition(".")[0] in PACKAGES:
        return None
    return locator.get_source_stamp()
