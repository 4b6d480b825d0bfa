"""Outputs that answer an earlier topic of the input's name.

A topic that was deleted and created again has another id.  The job goes on with the new one and
keeps the keys.  The outputs keep the answers to the old one, whose records nobody can read.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from connectors.exactly_once.changelog import Changelog
from connectors.kafka.access import KafkaAccess
from flows.cli.audit.lateness import Lateness
from flows.cli.audit.table import AnswerChunk
from flows.settings.model import Settings
from operators.encode.headers import VERDICT_HEADER
from operators.keys.paths import RECORD_TIME

TOPIC_HEADER, ID_HEADER = "dedup.topic", "dedup.topic.id"
ORIGINAL_TOPIC_HEADER = "dedup.original.topic"
_ID_BYTES = 16

Added = Mapping[str, bytes | None]
"""The headers that the job added to a record."""


@dataclass(frozen=True, slots=True)
class InputTopic:
    """The input topic that exists now.

    topic_id: Kafka's id, empty where brokers give none; then a name is all that tells topics
    apart.
    """

    name: str
    topic_id: str = ""

    def is_of(self, added: Added) -> bool:
        """Whether an answer names a topic of this name."""
        return added.get(TOPIC_HEADER) == self.name.encode()

    def lacks_id(self, added: Added) -> bool:
        """Whether an answer should give an id, and gives none that brokers can have given."""
        return bool(self.topic_id) and not _is_id(added.get(ID_HEADER))

    def is_earlier(self, added: Added) -> bool:
        """Whether an answer is to a record of an earlier topic of this name."""
        return (
            bool(self.topic_id)
            and bool(added.get(VERDICT_HEADER))
            and self.is_of(added)
            and not self.lacks_id(added)
            and added[ID_HEADER] != self.topic_id.encode()
        )


def _is_id(value: bytes | None) -> bool:
    """Whether a value is an id as Kafka's tools show it: 16 bytes, not all zero, in base64."""
    try:
        decoded = base64.b64decode((value or b"") + b"==", altchars=b"-_", validate=True)
    except binascii.Error:
        return False
    encoded = base64.urlsafe_b64encode(decoded).rstrip(b"=")
    return len(decoded) == _ID_BYTES and any(decoded) and encoded == value


@dataclass(slots=True)
class EarlierTopics:
    """What is known of earlier topics.

    was_read: whether the job's changelog says that it has read one.  answers: number of answers
    to their records.  originals: number of duplicates, of records that are in the input, whose
    original was in one; elsewhere: in a topic of another name.
    """

    was_read: bool = False
    answers: int = 0
    originals: int = 0
    elsewhere: int = 0

    def __bool__(self) -> bool:
        """Whether there were any."""
        return self.was_read or self.answers > 0 or self.originals > 0

    def add(self, answers: AnswerChunk, name: str) -> None:
        """Count what a chunk says of them.  name: of the input topic."""
        self.answers += answers.earlier
        for topic in filter(None, answers.original_topics):
            if topic == name:
                self.originals += 1
            else:
                self.elsewhere += 1

    def notes(self, name: str) -> Iterator[str]:
        """Yield the notes.  name: of the input topic."""
        if self.answers:
            yield (
                f"{self.answers:,} records of the outputs answer an earlier topic {name}, which "
                "is gone: nothing can be said about these"
            )
        if self.originals:
            yield (
                f"{self.originals:,} duplicates name an original in an earlier topic {name}, "
                "which is gone"
            )
        if self.elsewhere:
            yield f"{self.elsewhere:,} duplicates name an original in another topic than {name}"


def were_read(access: KafkaAccess, lanes: int, topic: InputTopic) -> bool:
    """Whether the changelog of a job names earlier topics.  Raises StateError.

    lanes: number of the changelog's partitions.
    """
    return any(
        partition.topic == topic.name and partition.topic_id != topic.topic_id
        for answered in Changelog(access, lanes).answered()
        if answered is not None
        for partition in answered.positions
    )


def may_forget(settings: Settings, lateness: Lateness, uniques: int) -> bool:
    """Whether the job may have taken the same record, of two topics, for unique twice.

    Its key was known from the first topic, unless it was evicted, or expired while a smaller
    lateness was allowed; or the records only look the same, but for their timestamps.
    uniques: number of all unique outputs.
    """
    full = uniques * len(settings.keys) > settings.max_keys // settings.lanes
    return full or lateness.changed or settings.time == RECORD_TIME
