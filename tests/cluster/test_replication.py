"""Brokers whose default is one replica, as it is unless set: our topics have what the input has."""

from pathlib import Path

import pytest
from confluent_kafka.admin import NewTopic

from deploy.kafka import NODES, BrokerStartError, Cluster, NoBrokerError
from flows.cli import app
from tests.conftest import WITHOUT_KAFKA
from tests.integration.job import Job, finish
from tests.integration.topics import Topics
from tests.model import Record

pytestmark = pytest.mark.cluster
EVENT = b'{"event_id":"a","user_id":"u","event_type":"t","timestamp":1700000000,"data":{}}'
ONE = {"default.replication.factor": "1"}


@pytest.mark.usefixtures("kafka_wanted")
def test_topics_that_the_job_creates(
    topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        with Cluster(ONE, tmp_path / "brokers") as cluster:
            topics = Topics(cluster.bootstrap, topic_prefix)
            admin = topics.admin()
            new = NewTopic(topics.input, 1, len(NODES))
            admin.create_topics([new])[topics.input].result(30)
            topics.produce([Record(0, 0, b"k", b"no JSON"), Record(0, 1, b"k", EVENT)])
            (tmp_path / "job").mkdir()
            finish(Job(topics.settings, tmp_path / "job"))
            for name, value in topics.settings.items():
                monkeypatch.setenv(name, value)
            assert app.main(["replay", "invalid"]) == 0

            listed = admin.list_topics(timeout=30).topics
            written = [*topics.outputs.values(), f"{topic_prefix}-changelog"]
            written.append(f"{topic_prefix}-replayed")
            found = {
                topic: {len(one.replicas) for one in listed[topic].partitions.values()}
                for topic in written
            }
    except (NoBrokerError, BrokerStartError) as error:
        pytest.fail(f"{error} {WITHOUT_KAFKA}=1 skips these tests.", pytrace=False)
    assert found == {topic: {len(NODES)} for topic in written}
