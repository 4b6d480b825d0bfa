"""When an admin client is replaced."""

from typing import cast

import pytest
from confluent_kafka.admin import AdminClient

from connectors.kafka.access import KafkaAccess
from connectors.kafka.watched_admin import WatchedAdmin
from tests.input_cluster import Clock


class Client:
    """An admin client, and what it was asked first."""

    def __init__(self) -> None:
        self.listed = 0

    def list_topics(self, *, timeout: float) -> None:
        """Count; nobody looks at the answer."""
        del timeout
        self.listed += 1


class Access(KafkaAccess):
    def admin(self, role: str = "admin") -> AdminClient:
        assert role == "watch"
        return cast("AdminClient", Client())


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def admin(clock: Clock) -> WatchedAdmin:
    return WatchedAdmin(Access("no:1", "app"), "watch", clock)


def test_after_half_a_minute_without_an_answer(
    admin: WatchedAdmin, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    client, asked_at = admin.client(), clock.now
    clock.now += 29.0
    admin.unanswered(asked_at)
    assert admin.client() is client
    clock.now += 1.0
    admin.unanswered(clock.now)
    assert admin.client() is not client
    assert caplog.messages == ["watch: no answer for 30 s: asking with a new client"]
    # A request for offsets may be lost if it is the first one.
    assert cast("Client", admin.client()).listed == 1


def test_not_if_it_has_answered_meanwhile(admin: WatchedAdmin, clock: Clock) -> None:
    client = admin.client()
    admin.unanswered(clock.now)
    clock.now += 29.0
    admin.answered()
    clock.now += 1.0
    admin.unanswered(clock.now)
    clock.now += 29.0
    admin.unanswered(clock.now)
    assert admin.client() is client


def test_not_twice_if_two_threads_got_no_answer(admin: WatchedAdmin, clock: Clock) -> None:
    asked_at = clock.now
    clock.now += 30.0
    admin.unanswered(asked_at)
    client = admin.client()
    admin.unanswered(asked_at)
    assert admin.client() is client
    clock.now += 30.0
    admin.unanswered(clock.now)
    assert admin.client() is not client
