"""Notices that the input topic was deleted and created again while the job reads it.

A client goes on at its offset in the new topic as if nothing had happened.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Thread

from connectors.kafka.access import KafkaAccess
from connectors.kafka.requests import KafkaUnreachableError
from connectors.kafka.topics import topic_id
from connectors.shutdown import exit_with_error, stop_requested
from operators.errors import DedupError, SourceError

log = logging.getLogger("dedup.source")

_LOOK_SECONDS = 5.0


def watch_topic(
    access: KafkaAccess,
    topic: str,
    known: str,
    end: Callable[[DedupError], object] = exit_with_error,
) -> None:
    """Look every five seconds whether a topic still has its id, on a thread of its own.

    known: the id that it had.  end: is given the error if it has another one; ends the process.
    What was read since the last look is not taken back: the line says so.
    """
    Thread(target=_watch, args=(access, topic, known, end), name="topic-watch", daemon=True).start()


def _watch(
    access: KafkaAccess, topic: str, known: str, end: Callable[[DedupError], object]
) -> None:
    admin = access.admin()
    while not stop_requested.wait(_LOOK_SECONDS):
        try:
            now = topic_id(access, admin, topic)
        except KafkaUnreachableError as error:
            # It is gone, or nobody answers: the source has its own words for that.
            log.debug("cannot ask for the id of %s: %s", topic, error)
            continue
        if now not in {known, None}:
            end(
                SourceError(
                    f"topic {topic} was deleted and created again while the job read it (Kafka's "
                    f"id of it was {known} and is {now}): its first records may have been taken "
                    "for answered ones, and later ones may be in the outputs. To read it from "
                    "its start, choose another DEDUP_APP_ID (and recovery directory), and other "
                    "output topics if none may come twice."
                )
            )
            return
