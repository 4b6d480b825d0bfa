"""Writes the records of a drill that varies, at once or little by little."""

import threading
import time
from collections.abc import Iterable
from typing import Final

from tests.drills.drill_scene import expect
from tests.drills.varied.drafts import Draft
from tests.integration.topics import Filler, Topics

_TICK_SECONDS: Final = 0.01
_DELIVERED_SECONDS: Final = 120.0


class Feed:
    """Writes to the input, and knows what has been written."""

    def __init__(self, topics: Topics) -> None:
        self._filler = Filler(topics)
        self._enough = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def count(self) -> int:
        """How many records have been handed over."""
        return len(self._filler.records)

    @property
    def trickles(self) -> bool:
        """Whether more records are to come by themselves."""
        return self._thread is not None and self._thread.is_alive()

    def add(self, drafts: Iterable[Draft]) -> None:
        """Write records at once."""
        for draft in drafts:
            self._filler.add(draft.record)
        self._settle()

    def trickle(self, drafts: Iterable[Draft], rate: float) -> None:
        """Begin to write records one by one, until `stop`.  rate: of them a second."""
        self._enough.clear()
        self._thread = threading.Thread(target=self._run, args=(drafts, rate), name="varied-feed")
        self._thread.start()

    def stop(self) -> None:
        """Write no more; wait until all that was written has been delivered."""
        self._enough.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._settle()

    def offsets(self) -> list[int]:
        """The offset of each record in its partition."""
        self._settle()
        return [record.offset for record in self._filler.records]

    def _settle(self) -> None:
        """Wait until all is delivered, also on a machine that stands still for a while."""
        left = self._filler.producer.flush(_DELIVERED_SECONDS)
        expect(left == 0, f"{left} records of the input were not delivered")

    def _run(self, drafts: Iterable[Draft], rate: float) -> None:
        begun = time.monotonic()
        for count, draft in enumerate(drafts, 1):
            self._filler.add(draft.record)
            while count > (time.monotonic() - begun) * rate:
                if self._enough.wait(_TICK_SECONDS):
                    return
