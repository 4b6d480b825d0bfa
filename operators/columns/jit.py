"""Loops over columns, compiled: for what numpy can only do in many steps over many keys."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar, cast

from numba import njit, types
from numba.core.ccallback import CFunc
from numba.core.sigutils import normalize_signature
from numba.extending import register_jitable

from operators.columns.jit_cache import LoopCache

memcpy: Any = types.ExternalFunction("memcpy", types.intp(types.intp, types.intp, types.intp))
"""For compiled code: target, source, bytes; addresses, of memory that something else holds."""

_Loop = TypeVar("_Loop", bound=Callable[..., object])


def jit(loop: _Loop) -> _Loop:
    """Compile a function of arrays and numbers on its first call; the same function otherwise.

    It holds the interpreter's lock all the time: a worker that lets it go for a moment
    in each step waits for every other thread that takes it.  What is compiled is kept
    beside the source, in the user's cache, or where NUMBA_CACHE_DIR says, for this kind
    of processor; where none of these can be written it is compiled at every start.  When
    any source file of operators/ or connectors/ changes, it is compiled again.
    """
    return _made(loop, nogil=False)


def jit_nogil(loop: _Loop) -> _Loop:
    """The same without the interpreter's lock: for what takes long beside other threads."""
    return _made(loop, nogil=True)


def jit_inlined(step: _Loop) -> _Loop:
    """Let compiled loops call a function, which stays what it is for everybody else."""
    callable_: _Loop = register_jitable(step)
    return callable_


def compiled_callback(function: Callable[..., object], signature: object) -> Any:  # noqa: ANN401
    """Compile a function that a library calls on its own threads, at `.address`.

    What is returned must be held for as long as it may be called.  It is kept as loops are.
    """
    types_of: Any = normalize_signature(signature)  # type: ignore[no-untyped-call]  # numba's
    made: Any = CFunc(function, types_of, locals={}, options={})
    with suppress(RuntimeError):
        made._cache = LoopCache(function)  # noqa: SLF001 - as below
    made.compile()
    return made


def _made(loop: _Loop, *, nogil: bool) -> _Loop:
    made = njit(nogil=nogil)(loop)
    if hasattr(made, "_cache"):  # not where NUMBA_DISABLE_JIT leaves the function as it is
        with suppress(RuntimeError):
            made._cache = LoopCache(loop)  # noqa: SLF001 - what numba's own `cache=True` sets
    return cast("_Loop", made)
