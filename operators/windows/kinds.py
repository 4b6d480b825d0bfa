"""The kinds of windows: for each its rule in short, its store in memory, its layout on disk.

Settings and audits import this module, so it imports no store: stores compile loops.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from operators.windows.bound import Bound
    from operators.windows.disk.layout import KeyLayout
    from operators.windows.store import KeyStore

WindowName: TypeAlias = Literal["tumbling", "sliding", "session", "forever"]


class _Classes(NamedTuple):
    """Makers of a store in memory and of a layout on disk, both given the window's length."""

    store: Callable[[float, Bound], KeyStore]
    layout: Callable[[float], KeyLayout]


@dataclass(frozen=True, slots=True)
class WindowKind:
    """A kind of window.

    classes: imports its classes.  in_buckets: two records with one key repeat each other
    if both are in the same bucket floor(t / W), else if they are less than W apart.
    endless: W is infinite whatever the setting says.  grows: duplicates extend a window.
    """

    classes: Callable[[], _Classes]
    in_buckets: bool = False
    endless: bool = False
    grows: bool = False

    def length(self, seconds: float) -> float:
        """Return the length of a window, given the setting's."""
        return math.inf if self.endless else seconds

    def new_store(self, seconds: float, bound: Bound) -> KeyStore:
        """Make an empty store in memory, given the setting's length."""
        return self.classes().store(self.length(seconds), bound)

    def new_layout(self, seconds: float) -> KeyLayout:
        """Make the layout on disk, given the setting's length."""
        return self.classes().layout(self.length(seconds))


def _tumbling() -> _Classes:
    from operators.windows.tumbling import TumblingLayout, TumblingStore  # noqa: PLC0415

    return _Classes(TumblingStore, TumblingLayout)


def _sliding() -> _Classes:
    from operators.windows.sliding import SlidingLayout, SlidingStore  # noqa: PLC0415

    return _Classes(SlidingStore, SlidingLayout)


def _session() -> _Classes:
    from operators.windows.session import SessionStore  # noqa: PLC0415
    from operators.windows.session_layout import SessionLayout  # noqa: PLC0415

    return _Classes(SessionStore, SessionLayout)


KINDS: Final[dict[WindowName, WindowKind]] = {
    "tumbling": WindowKind(_tumbling, in_buckets=True),
    "sliding": WindowKind(_sliding),
    "session": WindowKind(_session, grows=True),
    "forever": WindowKind(_tumbling, in_buckets=True, endless=True),
}
