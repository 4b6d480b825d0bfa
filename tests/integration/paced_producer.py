"""Records that arrive one after another while a test does something else."""

import threading
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Final

from typing_extensions import Self

from tests.integration.topics import Filler, Topics
from tests.model import Record

_TICK_SECONDS: Final = 0.01


class PacedProducer:
    """Writes a stream to the input at a rate, in a thread; as a context manager it ends itself.

    rate: records a second.
    """

    def __init__(self, topics: Topics, drafts: Iterable[Record], rate: float) -> None:
        self._filler = Filler(topics)
        self._drafts = drafts
        self._rate = rate
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trickle")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._enough.set()
        self._thread.join()

    @property
    def records(self) -> list[Record]:
        """What was written so far; of those not yet delivered the offset is −1."""
        return list(self._filler.records)

    def finish(self) -> list[Record]:
        """Wait until all are written; return them with the offsets they got."""
        self._thread.join()
        return self._filler.finish()

    def stop(self) -> list[Record]:
        """Write no more; return what was written."""
        self._enough.set()
        return self.finish()

    def _run(self) -> None:
        begun = time.monotonic()
        for index, draft in enumerate(self._drafts):
            while index > (time.monotonic() - begun) * self._rate:
                if self._enough.wait(_TICK_SECONDS):
                    return
            self._filler.add(draft)
