"""One answer about topics named no brokers, and the client that got it stood still from then on.

librdkafka drops the brokers that such an answer does not name, those of the settings too
(librdkafka#5301).  Only the client that reads was told its brokers again.  A lane's client waited
for 75 s, one that writes at least once for 330 s and ended; readiness and the ends of changelogs
were not known again before a restart.

librdkafka 2.16 mostly helps itself: it begins with its settings again.  Here it is told not to, so
that what the job does is tested.
"""

import json
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import pytest
from confluent_kafka.admin import NewPartitions

from tests.drills.brokers import behind_a_proxy
from tests.drills.metadata_proxy import MetadataProxy
from tests.integration.endpoints import Endpoints
from tests.integration.job import Job
from tests.integration.paced_producer import PacedProducer
from tests.integration.streams import assert_same, expected_in_any_order, outputs, stream
from tests.integration.topics import Topics
from tests.model import Record

# A silent client is told its brokers after 15 s, or replaced after 30.
SECONDS = 45.0
MINUTE = 60.0
RATE = 40.0
# Records go on to come for so long after a client has lost its brokers.
AFTER_SECONDS = 5.0
NO_HELP = {"metadata.recovery.strategy": "none"}
# So that a client gets such an answer soon: it asks about topics, or before it asks for offsets.
ASKS_OFTEN = {"topic.metadata.refresh.interval.ms": 1000}
FORGETS_LEADERS = {"metadata.max.age.ms": 1000}

Proxied = tuple[str, str, MetadataProxy]


@pytest.fixture(scope="module")
def proxied(kafka_wanted: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    """Addresses of a broker and of the proxy before it, and the proxy."""
    folder = tmp_path_factory.mktemp("broker")
    with behind_a_proxy(folder, MetadataProxy) as (broker, address, proxy):
        yield broker.bootstrap, address, proxy


class Scene:
    """A job behind the proxy, and the topics as they are without it."""

    def __init__(self, proxied: Proxied, prefix: str) -> None:
        direct, self.address, self.proxy = proxied
        self.topics = Topics(direct, prefix, 2)
        for topic in (self.topics.input, *self.topics.outputs.values()):
            self.topics.create(topic)

    def settings(
        self, kafka: Mapping[str, object] | None = None, **settings: object
    ) -> dict[str, str]:
        """Settings of the job.  kafka: for its clients.  settings: without DEDUP_."""
        other = {
            "BROKERS": self.address,
            "STOP_AT_END": "false",
            "LANES": 2,
            "ALLOWED_LATENESS_SECONDS": 100_000,
            "KAFKA": {**NO_HELP, **(kafka or {})},
            **settings,
        }
        return self.topics.settings | {
            f"DEDUP_{name}": value if isinstance(value, str) else json.dumps(value)
            for name, value in other.items()
        }

    def answered(self) -> int:
        """Number of records in the outputs."""
        return sum(map(len, self.topics.read(settled=False).values()))

    def lose_brokers(
        self, job: Job, *roles: str, meanwhile: Callable[[], object] = lambda: None
    ) -> None:
        """Wait until clients have got an answer without brokers."""
        clients = {f"{self.topics.prefix}-{role}" for role in roles}
        for client in clients:
            self.proxy.forget_brokers(client)

        def have_lost_them() -> bool:
            meanwhile()
            return clients <= self.proxy.has_forgotten

        job.wait_until(have_lost_them)

    def goes_on(self, job: Job, *roles: str) -> None:
        """Clients lose their brokers one by one: what comes then is answered soon, and rightly."""
        with PacedProducer(self.topics, stream(100_000, seed=1, partitions=2), RATE) as paced:
            job.wait_until(lambda: paced.delivered > 2 * RATE and self.answered() > RATE)
            for role in roles:
                self.lose_brokers(job, role)
            lost_at = time.monotonic()
            time.sleep(AFTER_SECONDS)
            records = paced.stop()
        left = SECONDS + lost_at - time.monotonic()
        job.wait_until(lambda: self.answered() == len(records), left)
        self.ends_rightly(job, records)

    def ends_rightly(self, job: Job, records: Sequence[Record]) -> None:
        """Stop the job: every record was answered once, and rightly."""
        job.send(signal.SIGTERM)
        assert [one.status for one in job.wait()] == [0], job.stderr
        found = outputs(self.topics.read())
        assert_same(found, expected_in_any_order(records, self.topics.input))


@pytest.fixture
def scene(proxied: Proxied, topic_prefix: str) -> Scene:
    return Scene(proxied, topic_prefix)


def test_one_that_reads(scene: Scene, tmp_path: Path) -> None:
    with Job(scene.settings(CONSUMER=ASKS_OFTEN), tmp_path) as job:
        scene.goes_on(job, "source")
    assert "naming the brokers again" in job.stderr


@pytest.mark.parametrize("interval_ms", [100, pytest.param(10_000, marks=pytest.mark.cluster)])
def test_one_of_a_lane(scene: Scene, tmp_path: Path, interval_ms: int) -> None:
    """A transaction that no record was sent of is repeated; one that is open is committed."""
    settings = scene.settings(PRODUCER=ASKS_OFTEN, COMMIT_INTERVAL_MS=interval_ms)
    with Job(settings, tmp_path, snapshot_seconds=20) as job:
        scene.goes_on(job, "lane-0")


@pytest.mark.cluster
def test_one_that_writes_at_least_once(scene: Scene, tmp_path: Path) -> None:
    with Job(scene.settings(PRODUCER=ASKS_OFTEN, GUARANTEE="at_least_once"), tmp_path) as job:
        scene.goes_on(job, "sink")
    assert "naming the brokers again" in job.stderr


@pytest.mark.cluster
def test_one_that_asks_about_changelogs(scene: Scene, tmp_path: Path) -> None:
    """A lane whose producer was replaced looks at its changelog."""
    with Job(scene.settings(FORGETS_LEADERS, PRODUCER=ASKS_OFTEN), tmp_path) as job:
        scene.goes_on(job, "changelog-admin", "lane-0")
    assert "changelog-admin: no answer for" in job.stderr


@pytest.mark.cluster
def test_those_that_watch(scene: Scene, tmp_path: Path) -> None:
    """New partitions are read within a minute; idle partitions, and readiness, are known again."""
    at, topics = Endpoints(), scene.topics
    watching = {"CONSUMER": ASKS_OFTEN, "IDLE_SECONDS": 1, "METRICS_PORT": at.port}
    drafts = stream(1000, seed=1, partitions=2)
    records = topics.produce(islice(drafts, 100))

    def idle() -> float:
        return at.samples("dedup_input_partitions")[0].get("idle", 0)

    def ask() -> None:
        """Let clients ask: a probe, and records of which the watch must say whose they are."""
        at.status_of("/readyz")
        records.extend(topics.produce(islice(drafts, 1)))

    with Job(scene.settings(FORGETS_LEADERS, **watching), tmp_path) as job:
        job.wait_until(lambda: at.ready and scene.answered() == len(records) and idle() == 2)
        scene.lose_brokers(job, "watch", "watch-ends", "health", meanwhile=ask)
        lost_at = time.monotonic()

        admin = topics.admin()
        admin.create_partitions([NewPartitions(topics.input, 3)])[topics.input].result(SECONDS)
        more = stream(300, seed=2, partitions=3)
        records += topics.produce(one for one in more if one.partition == 2)
        job.wait_until(lambda: not at.ready)
        left = MINUTE + lost_at - time.monotonic()
        job.wait_until(lambda: scene.answered() == len(records) and idle() == 3 and at.ready, left)
        scene.ends_rightly(job, records)
    for client in ("watch", "watch-ends", "health"):
        assert f"{client}: no answer for" in job.stderr
