"""Notices that the input topic was deleted and created again while the job reads it.

A client does not notice it: it reads on at its offset in the new topic.
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

_CHECK_SECONDS = 5.0


def watch_topic(
    access: KafkaAccess,
    topic: str,
    known: str,
    end: Callable[[DedupError], object] = exit_with_error,
) -> None:
    """Check every five seconds, on a separate thread, whether a topic still has its id.

    known: the topic's id at the start.  end: called with the error if the id has changed; ends
    the process.  Records that were read since the last check may be wrong: the error says so.
    """
    Thread(target=_watch, args=(access, topic, known, end), name="topic-watch", daemon=True).start()


def _watch(
    access: KafkaAccess, topic: str, known: str, end: Callable[[DedupError], object]
) -> None:
    admin = access.admin()
    while not stop_requested.wait(_CHECK_SECONDS):
        try:
            current = topic_id(access, admin, topic)
        except KafkaUnreachableError as error:
            # The topic is gone, or no broker answers: the source reports that itself.
            log.debug("cannot ask for the id of %s: %s", topic, error)
            continue
        if current not in {known, None}:
            end(
                SourceError(
                    f"topic {topic} was deleted and created again while the job read it (its id "
                    f"was {known} and is {current}): the job may have skipped its first records "
                    "as if they were answered, and later records may be in the outputs. To read "
                    "it from its start, choose another DEDUP_APP_ID (and recovery directory), "
                    "and other output topics if no record may come twice."
                )
            )
            return
