"""The local broker itself: what the other tests stand on."""

import socket
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from deploy.kafka import Broker, BrokerStartError, NoBrokerError, java, start_broker
from deploy.kafka.java import find_java
from deploy.kafka.ports import free_ports

QUIET = {"log_level": "0"}
SECONDS = 30.0


def make_topic(bootstrap: str, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, num_partitions=1)])[topic].result(SECONDS)


def produce(bootstrap: str, topic: str, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, **QUIET})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(SECONDS) == 0


def consume(bootstrap: str, topic: str, count: int) -> list[bytes | None]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": topic, **QUIET})
    consumer.assign([TopicPartition(topic, 0, 0)])
    try:
        return [message.value() for message in consumer.consume(count, SECONDS)]
    finally:
        consumer.close()


def test_what_was_produced_is_consumed(broker: Broker, topic_prefix: str) -> None:
    make_topic(broker.bootstrap, topic_prefix)
    produce(broker.bootstrap, topic_prefix, [b"a", b"b"])

    assert consume(broker.bootstrap, topic_prefix, 2) == [b"a", b"b"]


def test_a_transaction_commits(broker: Broker, topic_prefix: str) -> None:
    make_topic(broker.bootstrap, topic_prefix)
    settings = {"bootstrap.servers": broker.bootstrap, "transactional.id": topic_prefix}
    producer = Producer(settings)

    producer.init_transactions(SECONDS)
    producer.begin_transaction()
    producer.produce(topic_prefix, b"a")
    producer.commit_transaction(SECONDS)

    assert consume(broker.bootstrap, topic_prefix, 1) == [b"a"]


def test_a_killed_broker_comes_back_with_its_data(own_broker: Broker, topic_prefix: str) -> None:
    bootstrap, pid = own_broker.bootstrap, own_broker.pid
    make_topic(bootstrap, topic_prefix)
    produce(bootstrap, topic_prefix, [b"before"])

    own_broker.kill()
    own_broker.restart()

    assert own_broker.bootstrap == bootstrap
    assert own_broker.pid is None or own_broker.pid != pid
    produce(bootstrap, topic_prefix, [b"after"])
    assert consume(bootstrap, topic_prefix, 2) == [b"before", b"after"]


def test_a_data_dir_outlives_its_broker(
    kafka_wanted: None, tmp_path: Path, topic_prefix: str
) -> None:
    try:
        find_java()
    except NoBrokerError as error:
        pytest.skip(f"only a broker in Java keeps a data_dir: {error}")
    with start_broker(data_dir=tmp_path) as first:
        make_topic(first.bootstrap, topic_prefix)
        produce(first.bootstrap, topic_prefix, [b"kept"])
    with start_broker(data_dir=tmp_path) as second:
        assert consume(second.bootstrap, topic_prefix, 1) == [b"kept"]


def test_a_port_that_another_broker_has_is_an_error(broker: Broker) -> None:
    if broker.kind != "java":
        pytest.skip("the other kinds' ports are not this machine's to take")
    taken = int(broker.bootstrap.rpartition(":")[2])

    with pytest.raises(BrokerStartError, match="another Kafka broker already listens"):
        start_broker(port=taken)


def test_other_ports_are_tried_where_one_is_taken_before_java_takes_it(
    kafka_wanted: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        find_java()
    except NoBrokerError as error:
        pytest.skip(f"only a broker in Java takes its port itself: {error}")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        found = [[taken.getsockname()[1], *free_ports(1)]]

        def ports(_: int) -> list[int]:
            if not found:
                message = "asked again"
                raise BrokerStartError(message)
            return found.pop()

        monkeypatch.setattr(java, "free_ports", ports)
        with pytest.raises(BrokerStartError, match="asked again"):
            start_broker(data_dir=tmp_path)


def test_an_external_broker_is_used_and_never_killed(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEDUP_TEST_BROKERS", broker.bootstrap)

    with start_broker() as found:
        assert (found.bootstrap, found.kind) == (broker.bootstrap, "external")
        with pytest.raises(NoBrokerError, match="not ours to kill"):
            found.kill()

    AdminClient({"bootstrap.servers": broker.bootstrap}).list_topics(timeout=SECONDS)


def test_no_broker_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DEDUP_TEST_BROKERS", raising=False)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")

    with pytest.raises(NoBrokerError, match=r"Java 17 or later and Maven.*or start Docker"):
        start_broker()
