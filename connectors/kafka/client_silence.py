"""Notices a client that gets no answers any more, and says what helps.

librdkafka drops all its brokers, those of the settings too, when it gets an answer about topics
that names no brokers, as a broker that just starts may give (librdkafka#5301).  From then on it
says nothing and does nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import Enum, auto
from typing import Final

from operators.errors import SourceError

log = logging.getLogger("dedup.source")

_SILENT_SECONDS, _REPLACE_SECONDS = 15.0, 30.0
# The third replacement within this time ends the process.
_REPLACEMENTS: Final = 3
_REPLACEMENT_SECONDS: Final = 600.0


class Remedy(Enum):
    """What to do about a client."""

    NONE = auto()
    NAME_BROKERS = auto()
    REPLACE = auto()


class WriterSilence:
    """Follows the answers that a client gets which writes."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """clock: monotonic seconds."""
        self._clock = clock
        self._responses, self._answered_at = -1, clock()

    def look(self, responses: int, waiting: int) -> Remedy:
        """Look at a client; return what to do about it.

        responses: number of all that it has got.  waiting: number of records that are not
        acknowledged.  A client is told its brokers after each 15 s without an answer.  If they are
        away, that changes nothing.  It is never replaced: its records would be lost.
        """
        now = self._clock()
        if responses != self._responses or not waiting:
            self._responses, self._answered_at = responses, now
            return Remedy.NONE
        if now - self._answered_at < _SILENT_SECONDS:
            return Remedy.NONE
        self._answered_at = now
        return Remedy.NAME_BROKERS


class ClientSilence:
    """Follows the answers that a client gets which reads."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """clock: monotonic seconds."""
        self._clock = clock
        self._signs, self._answered_at = -1, clock()
        self._is_named = False
        self._replaced: list[float] = []

    def look(self, signs: int, others_answered_at: float) -> Remedy:
        """Look at a client; return what to do about it.

        signs: number of all signs of life that it has given.  others_answered_at: when brokers last
        answered another client.  A client without an answer for 15 s, while others get some, is
        told its brokers again; after 30 s it is replaced.  Raises SourceError if replacing does
        not help.
        """
        now = self._clock()
        if signs != self._signs:
            self._signs, self._answered_at = signs, now
            self._is_named = False
            return Remedy.NONE
        silent = now - self._answered_at
        if silent < _SILENT_SECONDS or now - others_answered_at > _SILENT_SECONDS:
            return Remedy.NONE
        if not self._is_named:
            self._is_named = True
            log.warning("no broker has answered for %.0f s: naming the brokers again", silent)
            return Remedy.NAME_BROKERS
        if silent < _REPLACE_SECONDS:
            return Remedy.NONE
        self._replaced = [at for at in self._replaced if now - at < _REPLACEMENT_SECONDS]
        self._replaced.append(now)
        if len(self._replaced) >= _REPLACEMENTS:
            msg = (
                "the brokers answer, but not to the clients that read the input: "
                f"{_REPLACEMENTS} of them got no answer for {_REPLACE_SECONDS:.0f} s each. "
                "Nothing is lost: see the brokers' logs, start again"
            )
            raise SourceError(msg)
        log.warning("no broker has answered for %.0f s: reading with a new client", silent)
        self._signs, self._answered_at = -1, now
        return Remedy.REPLACE
