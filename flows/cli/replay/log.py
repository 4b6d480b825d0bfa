"""The topic that remembers which records were replayed, and where to.

A record in it is written in the transaction that replays what it names, so that
no crash can part the two.  Values are JSON: {"to": topic, "topic": …,
"partition": …, "offsets": […]}, of the input records that were answered.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterable

from confluent_kafka import KafkaException
from confluent_kafka.admin import NewTopic

from connectors.kafka.access import KafkaAccess
from connectors.kafka.client_errors import error_text
from connectors.kafka.topics import TopicError, create_topic, partition_counts, topic_config
from flows.cli.replay.selection import Origin, ReplayLog
from operators.errors import StateError

_BROKER_DEFAULT = -1
# What is forgotten would be replayed a second time.
_CONFIG = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
_SEEN_SECONDS = 10.0
_POLL_SECONDS = 0.1


def pack(to: str, origins: Iterable[Origin]) -> list[bytes]:
    """Records of the log for some that are replayed, one for each partition they are of."""
    offsets: dict[tuple[str, int], list[int]] = defaultdict(list)
    for one in origins:
        offsets[one.topic, one.partition].append(one.offset)
    return [
        json.dumps(
            {"to": to, "topic": topic, "partition": partition, "offsets": found},
            separators=(",", ":"),
        ).encode()
        for (topic, partition), found in offsets.items()
    ]


def unpack(value: bytes, replayed: ReplayLog) -> None:
    """Remember what a record of the log names.  Raises StateError if it is none."""
    try:
        found = json.loads(value)
        replayed.add(found["to"], found["topic"], found["partition"], found["offsets"])
    except (ValueError, KeyError, TypeError) as error:
        msg = f"the log of replays holds what is none of ours: {value[:80]!r}"
        raise StateError(msg) from error


def log_topic(app_id: str) -> str:
    """Name of an application's log."""
    return f"{app_id}-replayed"


def ensure_log(access: KafkaAccess) -> None:
    """Create the log, or check that it forgets nothing.  Raises StateError, TopicError."""
    topic = log_topic(access.app_id)
    admin = access.admin()
    if topic not in partition_counts(admin, access):
        create_topic(admin, NewTopic(topic, 1, _BROKER_DEFAULT, config=dict(_CONFIG)))
        until = time.monotonic() + _SEEN_SECONDS
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
