"""TLS, SASL/SCRAM and access lists: errors are one line, and no secret is ever shown."""

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from confluent_kafka.admin import AclOperation

from connectors.kafka.access import KafkaAccess
from connectors.kafka.permissions import (
    CHANGELOG,
    READ,
    WRITE,
    PermissionMissingError,
    check_permissions,
    forbidden_topics,
)
from deploy.kafka import NoBrokerError
from deploy.kafka.ports import free_ports
from flows.assembly.specs import kafka_access
from flows.settings.load import load_settings
from tests.integration.job import ROOT, Job, fail, finish
from tests.integration.paced_producer import PacedProducer
from tests.integration.secured import (
    CLIENT_NAME,
    KEY_PASSWORD,
    PASSWORD,
    SecuredBroker,
    grants_for,
    secured_broker,
)
from tests.integration.streams import events, expected, outputs
from tests.integration.topics import Topics
from tests.model import Record

SECRETS: Final = (PASSWORD, KEY_PASSWORD)
WRONG: Final = "wrong-Pa55word-nobody-may-see-either"
# The most verbose logs, which a support engineer asks for.
DEBUG: Final = {"debug": "conf,security,broker"}


@pytest.fixture(scope="module")
def secured(
    kafka_wanted: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SecuredBroker]:
    try:
        with secured_broker(tmp_path_factory.mktemp("secured")) as broker:
            yield broker
    except NoBrokerError as error:
        pytest.fail(f"{error} (a container does not work here)", pytrace=False)


@pytest.fixture
def topics(secured: SecuredBroker, topic_prefix: str) -> Iterator[Topics]:
    """Topics that a user with all rights has created."""
    topics = Topics(secured.broker.bootstrap, topic_prefix)
    for topic in (topics.input, *topics.outputs.values()):
        topics.create(topic)
    topics.create(
        f"{topic_prefix}-changelog",
        4,
        cleanup_policy="delete",
        retention_ms="-1",
        retention_bytes="-1",
    )
    yield topics
    secured.forbid()


@pytest.fixture
def filled(topics: Topics) -> list[Record]:
    return topics.produce(events(300, seed=1, late=True))


@pytest.mark.parametrize("changed", [{}, {"DEDUP_GUARANTEE": "at_least_once"}], ids=str)
def test_with_password_and_rights_every_record_is_answered_once(
    secured: SecuredBroker,
    topics: Topics,
    filled: list[Record],
    tmp_path: Path,
    changed: dict[str, str],
) -> None:
    secured.allow(grants_for(topics).values())

    [ended] = finish(Job(topics.settings | secured.by_password(**DEBUG) | changed, tmp_path))

    assert outputs(topics.read()) == expected(filled, topics.input, 1)
    assert not [secret for secret in SECRETS if secret in ended.stderr]
    assert ended.stderr.count("may not see how large a batch may be") == 1


def test_with_a_certificate_every_record_is_answered_once(
    secured: SecuredBroker, topics: Topics, filled: list[Record], tmp_path: Path
) -> None:
    secured.allow(grants_for(topics).values(), f"User:CN={CLIENT_NAME}")

    [ended] = finish(Job(topics.settings | secured.by_certificate(**DEBUG), tmp_path))

    assert outputs(topics.read()) == expected(filled, topics.input, 1)
    assert not [secret for secret in SECRETS if secret in ended.stderr]


MISSING: Final = {
    "input": ("Read", "topic {}-in"),
    "late": ("Write", "topic {}-late"),
    "group": ("Read", "consumer group {}"),
    "changelog": ("Read and Write", "topic {}-changelog"),
    "transactional id": ("Write and Describe", "transactional ids that begin with {}-lane- "),
}


def test_a_missing_right_is_named_and_nothing_is_lost(
    secured: SecuredBroker, topics: Topics, filled: list[Record], tmp_path: Path
) -> None:
    grants = grants_for(topics)
    settings = topics.settings | secured.by_password()
    secured.allow(grants.values())

    for missing, (operation, resource) in MISSING.items():
        secured.forbid(grants[missing])
        error = fail(Job(settings, tmp_path))
        assert operation in error
        assert resource.format(topics.prefix) in error
        assert "docs/operations.md" in error
        secured.allow([grants[missing]])

    assert not any(topics.read().values())
    finish(Job(settings, tmp_path))
    assert outputs(topics.read()) == expected(filled, topics.input, 1)


def test_each_topic_is_asked_for_whether_it_is_seen_or_not(
    secured: SecuredBroker, topics: Topics
) -> None:
    grants = grants_for(topics)
    secured.allow(grants.values())
    access = kafka_access(load_settings(topics.settings | secured.by_password()))
    needs = {topics.input: READ, **dict.fromkeys(topics.outputs.values(), WRITE)}
    needs[f"{topics.prefix}-changelog"] = CHANGELOG
    check_permissions(access, needs)

    for missing in ("unique", "duplicate", "late", "invalid", "input", "changelog"):
        grant = grants[missing]
        secured.forbid(grant)
        with pytest.raises(PermissionMissingError, match=grant.name):
            check_permissions(access, needs)
        secured.allow([replace(grant, operations=(AclOperation.DESCRIBE,))])
        with pytest.raises(PermissionMissingError, match=grant.name):
            check_permissions(access, needs)
        secured.allow([grant])


def test_a_topic_that_does_not_exist_yet_is_no_missing_right(
    secured: SecuredBroker, topics: Topics
) -> None:
    unlocked = KafkaAccess(secured.broker.bootstrap, topics.prefix)
    check_permissions(unlocked, {f"{topics.prefix}-not-yet": WRITE})


def test_the_topics_that_may_not_be_written_are_told_apart(
    secured: SecuredBroker, topics: Topics
) -> None:
    grants = grants_for(topics)
    secured.allow(grants.values())
    secured.forbid(grants["group"])
    access = kafka_access(load_settings(topics.settings | secured.by_password()))
    names = [*topics.outputs.values(), f"{topics.prefix}-changelog"]
    assert forbidden_topics(access, names, WRITE) == []

    for missing in ("unique", "changelog"):
        secured.forbid(grants[missing])

    assert forbidden_topics(access, names, WRITE) == sorted(
        [topics.outputs["unique"], f"{topics.prefix}-changelog"]
    )


TAKEN: Final = {
    "input": "cannot read topic {}-in",
    "unique": "topic {}-unique refused",
    "changelog": "topic {}-changelog refused",
    "transactional id": "Write and Describe on the transactional ids that begin with {}-lane- ",
}


@pytest.mark.parametrize("taken", TAKEN)
def test_a_right_taken_away_stops_the_job_and_nothing_is_lost(
    secured: SecuredBroker, topics: Topics, tmp_path: Path, taken: str
) -> None:
    grants = grants_for(topics)
    secured.allow(grants.values())
    settings = topics.settings | secured.by_password()
    going = settings | {"DEDUP_STOP_AT_END": "false"}

    with PacedProducer(topics, events(100_000, seed=2), 200) as producer:
        with Job(going, tmp_path) as job:
            job.wait_until(lambda: bool(topics.committed().get(0)))
            secured.forbid(grants[taken])
            [ended] = job.wait()
        records = producer.stop()
    assert ended.status == 1
    assert TAKEN[taken].format(topics.prefix) in ended.error

    secured.allow(grants.values())
    finish(Job(settings, tmp_path))
    assert outputs(topics.read()) == expected(records, topics.input, 1)


WRONG_ACCESS: Final[dict[str, tuple[str, dict[str, str], str, str]]] = {
    "password": ("password", {"sasl_password": WRONG}, "invalid credentials", "sasl.password"),
    "user": ("password", {"sasl_username": "nobody"}, "invalid credentials", "sasl.username"),
    "authority": ("password", {"ssl_ca_location": "stranger.pem"}, "verif", "ssl.ca.location"),
    "no certificate": (
        "certificate",
        {"ssl_certificate_location": "", "ssl_key_location": ""},
        "certificate",
        "ssl.certificate.location",
    ),
    "key password": ("certificate", {"ssl_key_password": WRONG}, "ssl.key", "DEDUP_KAFKA"),
}


@pytest.mark.parametrize("what", WRONG_ACCESS)
def test_the_error_says_why_access_was_rejected(
    secured: SecuredBroker, topic_prefix: str, tmp_path: Path, what: str
) -> None:
    method, changed, why, where = WRONG_ACCESS[what]
    if "ssl_ca_location" in changed:
        changed = {"ssl_ca_location": secured.certificates[changed["ssl_ca_location"]]}
    by = secured.by_password if method == "password" else secured.by_certificate
    settings = Topics(secured.broker.bootstrap, topic_prefix).settings | by(**DEBUG, **changed)

    with Job(settings, tmp_path) as job:
        [ended] = job.wait()

    assert ended.status == 1
    assert why in ended.error
    assert where in ended.error
    assert not [secret for secret in (*SECRETS, WRONG) if secret in ended.stderr]


def test_no_secret_is_shown_by_any_page_or_command(
    secured: SecuredBroker, topics: Topics, filled: list[Record], tmp_path: Path
) -> None:
    secured.allow(grants_for(topics).values(), f"User:CN={CLIENT_NAME}")
    [port] = free_ports(1)
    settings = topics.settings | secured.by_certificate() | {"DEDUP_METRICS_PORT": str(port)}
    going = settings | {"DEDUP_STOP_AT_END": "false", "DEDUP_LOG_LEVEL": "debug"}

    with Job(going, tmp_path) as job:
        job.wait_until(lambda: topics.committed().get(0) == len(filled))
        pages = [_get(port, path) for path in ("/", "/status", "/metrics", "/livez", "/readyz")]
        shown = [*pages, job.stderr]
    environ = {**os.environ, **settings}
    for arguments in (["config"], ["config", "--json"]):
        command = [sys.executable, "-m", "flows.cli", *arguments]
        answer = subprocess.run(
            command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True
        )
        assert CLIENT_NAME in answer.stdout or "client.pem" in answer.stdout
        shown.append(answer.stdout + answer.stderr)

    assert not [secret for secret in SECRETS for text in shown if secret in text]


def _get(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        text: str = answer.read().decode()
        return text
