"""The replay log: a topic that remembers which records were replayed, and to which topic.

A transaction writes replays together with the log's record that names them, so a crash
leaves both or neither.  Values are JSON: {"run": …, "to": topic, "topic": …, "id": …,
"partition": …, "offsets": […]}.  `run` names the run that wrote it, and `to` the topic that was
written; the rest names input records.  `id` is Kafka's id of their topic, empty if it is not
known.  Earlier versions wrote neither `run` nor `id`.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterable

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from connectors.kafka.access import KafkaAccess
from connectors.kafka.client_errors import error_text
from connectors.kafka.replication import replication_like
from connectors.kafka.topics import TopicError, create_topic, partition_counts, topic_config
from flows.cli.replay.selection import Origin, ReplayLog
from operators.errors import StateError

# A record that the log forgets would be replayed a second time.
_CONFIG = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
# A new topic reaches every broker's metadata within this time.
_VISIBLE_SECONDS = 10.0
_POLL_SECONDS = 0.1


def log_records(run: str, to: str, origins: Iterable[Origin]) -> list[bytes]:
    """Make the log's records for replays: one for each input partition.

    run: name of the run that writes.  to: topic that the replays are written to.  origins: of the
    replays.
    """
    offsets: dict[tuple[str, str, int], list[int]] = defaultdict(list)
    for origin in origins:
        offsets[origin.topic, origin.topic_id, origin.partition].append(origin.offset)
    return [
        json.dumps(
            {
                "run": run,
                "to": to,
                "topic": topic,
                "id": topic_id,
                "partition": partition,
                "offsets": replayed,
            },
            separators=(",", ":"),
        ).encode()
        for (topic, topic_id, partition), replayed in offsets.items()
    ]


def read_log_record(value: bytes, replayed: ReplayLog) -> None:
    """Add the input records that a record of the log names.

    value: of the log's record.  Raises StateError if it cannot be read as one.
    """
    try:
        entry = json.loads(value)
        replayed.add(
            entry["to"],
            entry["topic"],
            entry.get("id", ""),
            entry["partition"],
            entry["offsets"],
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        msg = f"the replay log holds a record that `dedup replay` did not write: {value[:80]!r}"
        raise StateError(msg) from error


def log_topic(app_id: str) -> str:
    """Name of an application's log."""
    return f"{app_id}-replayed"


def run_of(value: bytes) -> str:
    """Name of the run that wrote a record of the log; empty if it does not say so."""
    try:
        entry = json.loads(value)
    except ValueError:
        return ""
    return str(entry.get("run", "")) if isinstance(entry, dict) else ""


def ensure_log(access: KafkaAccess, admin: AdminClient, like: str) -> None:
    """Create the log, or check that it keeps everything.  Raises StateError or TopicError.

    like: a topic that has as many replicas as a new log gets, at least.
    """
    topic = log_topic(access.app_id)
    if topic not in partition_counts(admin, access):
        replicas = replication_like(access, admin, like)
        create_topic(admin, NewTopic(topic, 1, replicas, config=dict(_CONFIG)))
        until = time.monotonic() + _VISIBLE_SECONDS
        while topic not in partition_counts(admin, access):
            if time.monotonic() > until:
                msg = f"topic {topic} was created but cannot be seen yet: start again"
                raise TopicError(msg)
            time.sleep(_POLL_SECONDS)
    try:
        config = topic_config(admin, topic)
    except KafkaException as error:
        msg = f"cannot check the settings of {topic}: {error_text(error)}"
        raise StateError(msg) from error
    for name, value in config.items():
        if name in _CONFIG and value != _CONFIG[name]:
            msg = (
                f"topic {topic} has {name}={value}, which would forget what was replayed: set it "
                f"to {_CONFIG[name]}"
            )
            raise StateError(msg)
