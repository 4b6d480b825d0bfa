"""Topics: which exist, with how many partitions.  Missing outputs are created, inputs never."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from connectors.kafka.access import KafkaAccess
from connectors.kafka.client_errors import error_text
from connectors.kafka.replication import replication_like
from connectors.kafka.requests import (
    REQUEST_SECONDS,
    answer_to,
    list_topics,
    unreachable_error,
)
from operators.errors import DedupError

# Our headers add less than this to a record: topic names have at most 249 bytes, and the
# message of an invalid record is cut to fit.
HEADER_ROOM_BYTES = 16_384
_MAX_MESSAGE = "max.message.bytes"
# Before and after the broker's clock; the last one counts for both where they are not set, and
# is gone since Kafka 4.
TIMESTAMP_LIMITS = (
    "message.timestamp.before.max.ms",
    "message.timestamp.after.max.ms",
    "message.timestamp.difference.max.ms",
)
ANY_TIMESTAMP = 2**63 - 1
_MAX_SIMILAR_NAMES = 3


class TopicError(DedupError):
    """A topic is missing or cannot be created."""


def partition_counts(admin: AdminClient, access: KafkaAccess) -> dict[str, int]:
    """Return the number of partitions of every topic.  Raises KafkaUnreachableError."""
    topics = list_topics(access, admin).topics
    return {name: len(topic.partitions) for name, topic in topics.items() if topic.partitions}


def ensure_topics(
    access: KafkaAccess, input_topic: str, output_topics: Iterable[str], *, create: bool
) -> int:
    """Check that the topics exist, and create missing outputs.

    The input is never created: a misspelt topic would be empty, and the job would read it
    without an error.  New output topics get as many partitions and replicas as the input, room
    for our headers on a record as large as the input allows, and any timestamp.  Existing topics
    are never altered.
    Returns the number of partitions of the input topic.  Raises TopicError for a missing
    topic that may not or cannot be created, KafkaUnreachableError.
    """
    admin = access.admin()
    counts = partition_counts(admin, access)
    outputs = list(dict.fromkeys(output_topics))
    if input_topic not in counts:
        # Topics that this application writes cannot be its input.
        msg = (
            f"{no_such_topic(input_topic, counts, {*outputs, *own_topics(access.app_id)})}. Set "
            "DEDUP_INPUT_TOPIC to one that does, or create it: the job never creates its input"
        )
        raise TopicError(msg)
    missing = [topic for topic in outputs if topic not in counts]
    if missing and not create:
        msg = (
            f"topic {', '.join(missing)} does not exist and DEDUP_CREATE_TOPICS is false: "
            "create it, or name another in the settings"
        )
        raise TopicError(msg)
    if missing:
        config = _config_for_outputs(access, admin, input_topic)
        replicas = replication_like(access, admin, input_topic)
        for topic in missing:
            create_topic(admin, NewTopic(topic, counts[input_topic], replicas, config=config))
    return counts[input_topic]


def own_topics(app_id: str) -> tuple[str, str]:
    """Return the topics of an application's own: its changelog and the log of `dedup replay`."""
    return f"{app_id}-changelog", f"{app_id}-replayed"


def no_such_topic(topic: str, existing: Iterable[str], unlike: Collection[str] = ()) -> str:
    """Return the message that a topic does not exist, with up to three similar names.

    existing: names of topics; Kafka's own, which begin with `__`, are not proposed.
    unlike: other names that are not proposed.
    """
    names = {
        name.casefold(): name
        for name in sorted(existing)
        if not name.startswith("__") and name not in unlike
    }
    similar = get_close_matches(topic.casefold(), names, _MAX_SIMILAR_NAMES)
    if not similar:
        return f"topic {topic} does not exist, nor one with a name like it"
    return f"topic {topic} does not exist; like it: {', '.join(names[name] for name in similar)}"


def create_topic(admin: AdminClient, topic: NewTopic) -> None:
    """Create a topic, if no other process has created it already.  Raises TopicError."""
    try:
        answer_to(admin.create_topics([topic], request_timeout=REQUEST_SECONDS)[topic.topic])
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            msg = (
                f"cannot create topic {topic.topic}: {error_text(error)}. "
                "Create it by hand, or allow this user to do so."
            )
            raise TopicError(msg) from error


def topic_config(admin: AdminClient, topic: str) -> dict[str, str]:
    """Return a topic's settings.  Raises KafkaException: not allowed, or no answer in time."""
    resource = ConfigResource(ResourceType.TOPIC, topic)
    futures = admin.describe_configs([resource], request_timeout=REQUEST_SECONDS)
    return {name: entry.value for name, entry in answer_to(futures[resource]).items()}


def _config_for_outputs(
    access: KafkaAccess, admin: AdminClient, input_topic: str
) -> dict[str, str]:
    try:
        of_input = topic_config(admin, input_topic)
    except KafkaException as error:
        # Without these a broker would reject a record, perhaps weeks later.
        if error.args[0].code() == KafkaError._TIMED_OUT:  # noqa: SLF001 - its public name
            raise unreachable_error(access, error) from error
        return {}  # this user may not ask: the broker's default applies
    # Records are older when they are written there, and some may be from before the input had its
    # limits: outputs take more than the input.
    config = {name: str(ANY_TIMESTAMP) for name in TIMESTAMP_LIMITS if name in of_input}
    if _MAX_MESSAGE in of_input:
        config[_MAX_MESSAGE] = str(int(of_input[_MAX_MESSAGE]) + HEADER_ROOM_BYTES)
    return config
