"""Names the classes that a recovery snapshot holds, without unpickling it."""

from __future__ import annotations

import pickletools
from collections.abc import Iterator
from importlib import import_module
from typing import Final

_OURS: Final = ("connectors", "flows", "operators")
_STORES: Final = ("PUT", "BINPUT", "LONG_BINPUT")
_LOADS: Final = ("GET", "BINGET", "LONG_BINGET")
_FRAMING: Final = ("PROTO", "FRAME")


def unknown_classes(pickled: bytes) -> list[str]:
    """Return the names of this project's classes in a pickle that do not exist any more.

    pickled: the pickle, or its first bytes; later classes are not seen.  Imports modules of
    this project only.
    """
    names = dict.fromkeys(_global_names(pickled))
    return [
        f"{module}.{name}"
        for module, name in names
        if module.partition(".")[0] in _OURS and not _exists(module, name)
    ]


def _global_names(pickled: bytes) -> Iterator[tuple[str, str]]:
    """Yield module and name of each class and function in a pickle, up to where it is cut off.

    Source: pickletools documents the opcodes; STACK_GLOBAL takes two strings from the stack.
    """
    memo: dict[int, str | None] = {}
    before: str | None = None
    top: str | None = None  # None if the top of the stack is not a string
    try:
        for opcode, argument, _ in pickletools.genops(pickled):
            if opcode.name == "GLOBAL":
                module, _, name = str(argument).partition(" ")
                yield module, name
                top = None
            elif opcode.name == "STACK_GLOBAL":
                if before is not None and top is not None:
                    yield before, top
                top = None
            elif opcode.name == "MEMOIZE":
                memo[len(memo)] = top
            elif opcode.name in _STORES:
                memo[int(str(argument))] = top
            elif opcode.name in _LOADS:
                before, top = top, memo.get(int(str(argument)))
            elif opcode.name not in _FRAMING:
                before, top = top, argument if isinstance(argument, str) else None
    except ValueError:
        return  # the pickle is cut off


def _exists(module: str, name: str) -> bool:
    try:
        value: object = import_module(module)
    except ImportError:
        return False
    for part in name.split("."):
        value = getattr(value, part, None)
    # A class that has moved may still be imported by its old module.
    return getattr(value, "__module__", None) == module
