"""Loops over columns, compiled: for what numpy can only do in many steps over many keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit, types
from numba.core.caching import FunctionCache
from numba.core.runtime import rtsys  # type: ignore[attr-defined]
from numba.extending import register_jitable

memcpy: Any = types.ExternalFunction("memcpy", types.intp(types.intp, types.intp, types.intp))
"""For compiled code: target, source, bytes; addresses, of memory that something else holds."""

_Loop = TypeVar("_Loop", bound=Callable[..., object])


def compiled(loop: _Loop) -> _Loop:
    """Compile a function of arrays and numbers on its first call; the same function otherwise.

    It holds the interpreter's lock all the time: a worker that lets it go for a moment
    in each step waits for every other thread that takes it.  What is compiled is kept
    beside the source, in the user's cache, or where NUMBA_CACHE_DIR says, for this kind
    of processor; where none of these can be written it is compiled at every start.
    """
    return _made(loop, nogil=False)


def compiled_unlocked(loop: _Loop) -> _Loop:
    """The same without the interpreter's lock: for what takes long beside other threads."""
    return _made(loop, nogil=True)


def compilable(step: _Loop) -> _Loop:
    """Let compiled loops call a function, which stays what it is for everybody else.

    What is kept of a loop is not made anew when a function in another file changes: only
    for what stays true.
    """
    callable_: _Loop = register_jitable(step)
    return callable_


class _KeptLoop(FunctionCache):
    """What is kept of a loop on disk, had again without what only compiling needs.

    numba imports and registers all that it could compile before it looks, an eighth of a
    second of each start.  What it takes to run a loop is in what is kept.
    """

    def load_overload(self, sig: object, target_context: object) -> object:
        """Return the loop for some types of arguments, or None where it has to be compiled."""
        load = getattr(self, "_load_overload", None)  # not numba's public interface
        if load is None:
            return cast("Any", super()).load_overload(sig, target_context)
        rtsys.initialize(target_context)
        return load(sig, target_context)


def _made(loop: _Loop, *, nogil: bool) -> _Loop:
    try:
        made = njit(cache=True, nogil=nogil)(loop)
    except RuntimeError:
        made = njit(nogil=nogil)(loop)
    kept = getattr(made, "_cache", None)
    if type(kept) is FunctionCache:
        kept.__class__ = _KeptLoop
    return cast("_Loop", made)
