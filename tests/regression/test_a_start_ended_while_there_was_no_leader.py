"""A start ended at once where no partition of the input, or of the changelog, had a leader.

So it is for a moment while brokers restart.  The line said that Kafka cannot be reached.
"""

from threading import Timer

from confluent_kafka import IsolationLevel

from connectors.kafka.access import KafkaAccess
from connectors.kafka.starting_offsets import ends_of
from operators.batches import InputPartition
from tests.integration.mock_brokers import mock_brokers

LEADERLESS_SECONDS = 1.0


def test_it_waits_for_one() -> None:
    with mock_brokers() as brokers:
        brokers.create("topic")
        brokers.lose_leader("topic")
        elected = Timer(LEADERLESS_SECONDS, brokers.lead_again, ["topic"])
        elected.start()
        access = KafkaAccess(brokers.bootstrap, "app", {"log_level": 0})
        partition = InputPartition("topic", "", 0)

        assert ends_of(access, [partition], IsolationLevel.READ_COMMITTED) == {partition: 0}
        elected.join()
