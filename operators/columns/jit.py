"""Compiles loops over columns, where numpy would need many passes over many keys."""

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
"""For compiled code: target address, source address, number of bytes; nothing is kept alive."""

_Loop = TypeVar("_Loop", bound=Callable[..., object])


def jit(loop: _Loop) -> _Loop:
    """Compile a function of arrays and numbers on its first call.

    It holds the GIL: a worker that released it in each step would wait for every thread
    that takes it.  The compiled code is kept on disk, for this kind of processor: beside the
    source, in the user's cache, or in NUMBA_CACHE_DIR.  If none of these is writable, each
    start compiles it again; so does a change of any source file of operators/ or connectors/.
    """
    return _compile(loop, nogil=False)


def jit_nogil(loop: _Loop) -> _Loop:
    """The same without the GIL: for long loops beside other threads."""
    return _compile(loop, nogil=True)


def jit_inlined(step: _Loop) -> _Loop:
    """Let compiled loops call a function; for Python it stays an ordinary function."""
    callable_: _Loop = register_jitable(step)
    return callable_


def compiled_callback(function: Callable[..., object], signature: object) -> Any:  # noqa: ANN401
    """Compile a function that a library calls on its own threads; `.address` is its address.

    Keep the result for as long as the library may call it.  On disk it is kept as loops are.
    """
    types_of: Any = normalize_signature(signature)  # type: ignore[no-untyped-call]  # numba's
    compiled: Any = CFunc(function, types_of, locals={}, options={})
    with suppress(RuntimeError):
        compiled._cache = LoopCache(function)  # noqa: SLF001 - as below
    compiled.compile()
    return compiled


def _compile(loop: _Loop, *, nogil: bool) -> _Loop:
    compiled = njit(nogil=nogil)(loop)
    if hasattr(compiled, "_cache"):  # NUMBA_DISABLE_JIT leaves the function unchanged
        with suppress(RuntimeError):
            compiled._cache = LoopCache(loop)  # noqa: SLF001 - what numba's own `cache=True` sets
    return cast("_Loop", compiled)
