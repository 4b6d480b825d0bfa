"""Records that arrive one after another while a test does something else."""

import threading
import time
from collections.abc import Iterable
from typing import Final

from deploy.kafka.scoped import Scoped
from tests.integration.topics import Filler, Topics
from tests.model import Record

_TICK_SECONDS: Final = 0.01


class PacedProducer(Scoped):
    """Writes a stream to the input at a rate, in a thread; as a context manager it ends itself.

    rate: records a second.
    """

    def __init__(self, topics: Topics, drafts: Iterable[Record], rate: float) -> None:
        self._filler = Filler(topics)
        self._drafts = drafts
        self._rate = rate
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run, name="paced-producer")

    def begin(self) -> None:
        """Start writing."""
        self._thread.start()

    def end(self) -> None:
        """Stop writing."""
        self._enough.set()
        self._thread.join()

    @property
    def records(self) -> list[Record]:
        """What was written so far; of those not yet delivered the offset is −1."""
        return list(self._filler.records)

    @property
    def delivered(self) -> int:
        """How many have got their offset."""
        return self._filler.delivered

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
