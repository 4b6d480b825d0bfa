"""Topics: which there are, with how many partitions; missing outputs are created, inputs never."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourceType,
    TopicDescription,
)

from connectors.kafka.access import KafkaAccess
from connectors.kafka.client_errors import error_text
from connectors.kafka.requests import REQUEST_SECONDS, list_topics, retrying, unreachable_error
from operators.errors import DedupError

# What our headers add to a record, with room: topic names are at most 249 bytes,
# and the message of an invalid record is cut to fit.
HEADER_ROOM_BYTES = 16_384
_MAX_MESSAGE = "max.message.bytes"
_BROKER_DEFAULT = -1
_NO_ID = "A" * 22  # sixteen bytes of zero
_MOST_ALIKE = 3


class TopicError(DedupError):
    """A topic is missing or cannot be made."""


def partition_counts(admin: AdminClient, access: KafkaAccess) -> dict[str, int]:
    """Partitions of every topic.  Raises KafkaUnreachableError."""
    topics = list_topics(access, admin).topics
    return {name: len(topic.partitions) for name, topic in topics.items() if topic.partitions}


def ensure_topics(
    access: KafkaAccess, input_topic: str, output_topics: Iterable[str], *, create: bool
) -> int:
    """Check that the topics are there, and create the outputs that are not.

    The input is never created: a misspelt one would be empty, and the job would read
    it without a word.  New output topics get as many partitions as the input, and
    room for our headers on a record as large as the input allows.  Existing topics
    are never altered.  Returns the number of partitions of the input topic.  Raises
    TopicError for a missing topic that may not or cannot be created,
    KafkaUnreachableError.
    """
    admin = access.admin()
    counts = partition_counts(admin, access)
    wanted = list(dict.fromkeys(output_topics))
    if input_topic not in counts:
        # What this application writes cannot be its input.
        msg = (
            f"{no_such_topic(input_topic, counts, {*wanted, *own_topics(access.app_id)})}. Set "
            "DEDUP_INPUT_TOPIC to one that does, or create it: the job never creates its input"
        )
        raise TopicError(msg)
    outputs = [topic for topic in wanted if topic not in counts]
    if outputs and not create:
        msg = (
            f"topic {', '.join(outputs)} does not exist and DEDUP_CREATE_TOPICS is false: "
            "create it, or name another in the settings"
        )
        raise TopicError(msg)
    if outputs:
        config = _room_for_headers(access, admin, input_topic)
        for topic in outputs:
            create_topic(
                admin, NewTopic(topic, counts[input_topic], _BROKER_DEFAULT, config=config)
            )
    return counts[input_topic]


def own_topics(app_id: str) -> tuple[str, str]:
    """Topics in which an application remembers: its changelog and the log of `dedup replay`."""
    return f"{app_id}-changelog", f"{app_id}-replayed"


def no_such_topic(topic: str, existing: Iterable[str], unlike: Collection[str] = ()) -> str:
    """Say that a topic does not exist, and which have names like it.

    existing: names of topics; Kafka's own, which begin with `__`, are not proposed.
    unlike: others that are not.
    """
    names = {
        name.casefold(): name
        for name in sorted(existing)
        if not name.startswith("__") and name not in unlike
    }
    alike = get_close_matches(topic.casefold(), names, _MOST_ALIKE)
    if not alike:
        return f"topic {topic} does not exist, nor one with a name like it"
    return f"topic {topic} does not exist; like it: {', '.join(names[name] for name in alike)}"


def create_topic(admin: AdminClient, topic: NewTopic) -> None:
    """Create a topic; that another process was first is no error."""
    try:
        admin.create_topics([topic], request_timeout=REQUEST_SECONDS)[topic.topic].result()
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            msg = (
                f"cannot create topic {topic.topic}: {error_text(error)}. "
                "Create it by hand, or allow this user to."
            )
            raise TopicError(msg) from error


def topic_config(admin: AdminClient, topic: str) -> dict[str, str]:
    """Settings of a topic.  Raises KafkaException: not allowed to look, or no answer in time."""
    resource = ConfigResource(ResourceType.TOPIC, topic)
    asked = admin.describe_configs([resource], request_timeout=REQUEST_SECONDS)
    return {name: entry.value for name, entry in asked[resource].result().items()}


def topic_id(access: KafkaAccess, admin: AdminClient, topic: str) -> str | None:
    """Kafka's id of a topic (KIP-516), another one for each that was ever created with its name.

    None from brokers that know no ids (before 2.8).  Raises KafkaUnreachableError.
    """

    def describe() -> TopicDescription:
        asked = admin.describe_topics(TopicCollection([topic]), request_timeout=REQUEST_SECONDS)
        described: TopicDescription = asked[topic].result()
        return described

    found = str(retrying(access, describe).topic_id)
    return None if found == _NO_ID else found


def _room_for_headers(access: KafkaAccess, admin: AdminClient, input_topic: str) -> dict[str, str]:
    try:
        largest = int(topic_config(admin, input_topic)[_MAX_MESSAGE])
    except KeyError:
        return {}
    except KafkaException as error:
        # Without room the job would be refused a record, weeks later perhaps.
        if error.args[0].code() == KafkaError._TIMED_OUT:  # noqa: SLF001 - its public name
            raise unreachable_error(access, error) from error
        return {}  # not allowed to look: the broker's default is what it is
    return {_MAX_MESSAGE: str(largest + HEADER_ROOM_BYTES)}
