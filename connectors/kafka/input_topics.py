"""Which input partitions there are, by the ids that Kafka gives topics."""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from connectors.kafka.access import KafkaAccess
from connectors.kafka.requests import REQUEST_SECONDS, answer_to, retrying
from operators.batches import InputPartition

_NO_ID = "A" * 22  # sixteen bytes of zero
# librdkafka writes ids in the usual base64, Kafka and its tools in the one for addresses.
_AS_KAFKA = str.maketrans("+/", "-_")


def input_partitions(
    access: KafkaAccess, admin: AdminClient, topics: Sequence[str]
) -> list[InputPartition]:
    """Return the partitions of those topics that exist, sorted.

    A topic's id is empty from brokers that know no ids (before 2.8, KIP-516).  Raises
    KafkaUnreachableError.
    """

    def describe() -> list[InputPartition]:
        futures = admin.describe_topics(
            TopicCollection(list(topics)), request_timeout=REQUEST_SECONDS
        )
        found = []
        for name, future in futures.items():
            try:
                description = answer_to(future)
            except KafkaException as error:
                if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    continue
                raise
            identity = str(description.topic_id).translate(_AS_KAFKA)
            identity = "" if identity == _NO_ID else identity
            found += [InputPartition(name, identity, info.id) for info in description.partitions]
        return sorted(found)

    return retrying(access, describe)
