"""What was compiled of a loop, kept on disk, and read again only where it would come out the same.

numba's own files are stale where a loop inlines a function of another file: it compares the
loop's file alone.  And two processes that write at once can leave the code of one signature
under the name of another: numba writes an index first, and the code it names later.  Here:

1. A file holds one loop for one signature, and says so itself: its key stands beside the code.
2. It begins with a hash of `sources_stamp` and of all that follows.  What other sources were
   compiled to, and what is not whole, has another hash.
3. It is written under a name of its own and then renamed, so readers see all of it or nothing.
4. It is written only if the sources on disk are still those that this process began with.

So any number of processes and versions may share a folder, and files may be deleted at any
time.  Of two versions that run at once, each writes over the other's files: that costs the
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

# Where loops are, and everything that they may inline.
PACKAGES = ("operators", "connectors")
# Of numba's insides: what is needed here.  They were the same from 0.61 to 0.68.
_OF_NUMBA = ("_impl", "_index_key", "_py_func")
_Key: TypeAlias = tuple[tuple[str, str, int], tuple[object, object, object]]
_HASH_BYTES = hashlib.sha256().digest_size


def sources_stamp() -> bytes:
    """Hash all that decides what a loop is compiled to, but for the kind of processor.

    That is each source file of `PACKAGES`, by its name in the package and its content, and
    the versions of Python, numba, llvmlite and numpy.  Neither where the files are nor their
    times: a copy has the same.  Takes 2 ms.  Raises RuntimeError if there are no sources.
    """
    stamp = hashlib.sha256()
    for version in (sys.version, numba.__version__, llvmlite.__version__, np.__version__):
        stamp.update(f"{version}\n".encode())
    found = False
    for package in PACKAGES:
        for name, content in _sources(files(package), package):
            found = True
            stamp.update(f"{name} {len(content)}\n".encode())
            stamp.update(content)
    if not found:
        msg = "there are no source files to compare compiled loops with"
        raise RuntimeError(msg)
    return stamp.digest()


def _sources(folder: Traversable, name: str) -> Iterator[tuple[str, bytes]]:
    for one in sorted(folder.iterdir(), key=lambda one: one.name):
        path = f"{name}/{one.name}"
        if one.name.endswith(".py") and not one.name.startswith("."):  # no lock of an editor
            yield path, one.read_bytes()
        elif one.is_dir():
            yield from _sources(one, path)


_stamp_at_start = cache(sources_stamp)


class LoopCache(FunctionCache):
    """Files of one loop, in the folder that numba chooses: see above for what they promise."""

    def __init__(self, loop: Any) -> None:  # noqa: ANN401 - any function
        """Raise RuntimeError where nothing can be kept: no folder, no sources, another numba."""
        super().__init__(loop)  # type: ignore[no-untyped-call]  # numba's
        if not all(hasattr(self, name) for name in _OF_NUMBA):
            msg = "this version of numba keeps compiled loops in another way"
            raise RuntimeError(msg)
        self._loop = (loop.__module__, loop.__qualname__, loop.__code__.co_firstlineno)
        # Of a loop outside of the packages its own file counts too, as numba has it.
        self._stamp = _stamp_at_start(), _own_stamp(loop, self._locator)

    @property
    def _locator(self) -> Any:  # noqa: ANN401 - numba's
        return self._impl.locator

    @override
    def load_overload(self, sig: object, target_context: Any) -> object:
        """Return the loop for some types of arguments, or None where it has to be compiled.

        numba would first import and register all that it could compile, an eighth of a second
        of each start.  What it takes to run a loop is in what is kept.
        """
        rtsys.initialize(target_context)
        key = self._key(sig, target_context.codegen())
        reduced = self._read(key)
        return None if reduced is None else self._impl.rebuild(target_context, reduced)

    @override
    def save_overload(self, sig: object, data: Any) -> None:
        """Keep what was compiled for some types of arguments."""
        if not self._impl.check_cachable(data):
            return
        key = self._key(sig, data.codegen)
        try:
            if sources_stamp() == _stamp_at_start():
                self._locator.ensure_cache_path()
                self._write(key, self._impl.reduce(data))
        except OSError as error:  # a full disk, or sources that are being replaced
            log.warning(
                "%s: a compiled loop is not kept there, each start compiles it again: %s",
                self._locator.get_cache_path(),
                error,
            )

    @override
    def flush(self) -> None:
        """Nothing to do: what numba compiles again is written over."""

    def _key(self, sig: object, codegen: object) -> _Key:
        index_key: Any = self._index_key  # signature, processor, hashes of bytecode and closure
        return self._loop, index_key(sig, codegen)

    def _path(self, key: _Key) -> Path:
        """Name a file: not by what changes with the sources, so that no old ones pile up."""
        (module, name, _), (sig, processor, _) = key
        named = repr((module, name, sys.implementation.cache_tag, sig, processor))
        short = name.rpartition(".")[-1].strip("<>")
        digest = hashlib.sha256(named.encode()).hexdigest()[:32]
        return Path(self._locator.get_cache_path(), f"{short}-{digest}.loop")

    def _hash(self, body: bytes) -> bytes:
        return hashlib.sha256(repr(self._stamp).encode() + body).digest()

    def _read(self, key: _Key) -> Any:  # noqa: ANN401 - numba's
        try:
            data = self._path(key).read_bytes()
        except OSError:  # not there, or not for us to read
            return None
        body = data[_HASH_BYTES:]
        if data[:_HASH_BYTES] != self._hash(body):
            return None
        held, reduced = pickle.loads(body)  # noqa: S301 - our own, by its hash
        return reduced if held == key else None

    def _write(self, key: _Key, reduced: object) -> None:
        path = self._path(key)
        body: bytes = dumps((key, reduced))  # type: ignore[no-untyped-call]  # numba's
        whole = path.with_name(f"{path.name}.{uuid4().hex}")
        try:
            whole.write_bytes(self._hash(body) + body)
            whole.replace(path)
        except BaseException:
            whole.unlink(missing_ok=True)
            raise


def _own_stamp(loop: Any, locator: Any) -> object:  # noqa: ANN401 - any function; numba's
    if loop.__module__.partition(".")[0] in PACKAGES:
        return None
    return locator.get_source_stamp()
