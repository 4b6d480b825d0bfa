"""One base class for everything that begins and ends with a `with` block."""

from abc import ABC, abstractmethod
from types import TracebackType

from typing_extensions import Self


class Scoped(ABC):
    """Begins on entry into a `with` block, and ends on exit, after an exception as well."""

    def begin(self) -> None:
        """Begin; by default do nothing."""
        return

    @abstractmethod
    def end(self) -> None:
        """End."""

    def __enter__(self) -> Self:
        self.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()
