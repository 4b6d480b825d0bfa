"""The broker killed and restarted; the network to it slow, silent, and cut."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from deploy.kafka import Broker, start_broker
from deploy.kafka.ports import free_ports
from tests.drills.drill_scene import Scale, Stage, expect
from tests.drills.proxy import Proxy
from tests.integration.job import Job

_CATCH_UP_SECONDS = 120.0

_Proxy = TypeVar("_Proxy", bound=Proxy)


def broker_kills(stage: Stage, scale: Scale, broker: Broker) -> None:
    """The broker is killed and comes back: the job goes on, or ends and a restart is exact."""
    job: Job | None = None
    try:
        for _ in range(max(1, scale.times // 4)):
            job = _running(stage, job)
            broker.kill()
            stage.fault()
            time.sleep(stage.draw.uniform(0.0, 5.0))
            broker.restart()
            job = _goes_on(stage, job)
    finally:
        if job is not None:
            job.kill()


def network(stage: Stage, scale: Scale, proxy: Proxy) -> None:
    """The way to the broker is slow, then silent, then cut."""
    job: Job | None = None
    troubles: list[Callable[[], None]] = [lambda: proxy.slow(0.05), proxy.stall, proxy.cut]
    try:
        for turn in range(max(3, scale.times // 2)):
            job = _running(stage, job)
            troubles[turn % len(troubles)]()
            stage.fault()
            time.sleep(stage.draw.uniform(1.0, 8.0))
            proxy.restore()
            job = _goes_on(stage, job)
    finally:
        proxy.restore()
        if job is not None:
            job.kill()


def _running(stage: Stage, job: Job | None) -> Job:
    """Let the job write some more; start one if it has ended since, as it may after a fault."""
    if job is not None:
        job = _goes_on(stage, job)
    if job is None:
        job = stage.start()
        job.begin()
        stage.run_on(job, seconds=_CATCH_UP_SECONDS)
    return job


def _goes_on(stage: Stage, job: Job) -> Job | None:
    """Wait until the job writes again; None if it ended instead, which it may, non-zero."""
    try:
        stage.run_on(job, seconds=_CATCH_UP_SECONDS)
    except AssertionError:
        if job.alive:
            raise
        ended = job.wait(0)
        expect(all(one.status for one in ended), f"ended with 0:\n{job.stderr}")
        stage.notes.append(f"the job ended: {ended[0].stderr.strip().splitlines()[-1]}")
        return None
    return job


@contextmanager
def behind_a_proxy(
    folder: Path, make: Callable[[int, int], _Proxy]
) -> Iterator[tuple[Broker, str, _Proxy]]:
    """A broker with a second listener, which it advertises at the proxy's port.

    make: makes the proxy of a port and of the one behind it.  Yields the broker, the address of
    the proxy, and the proxy.  Java only: what a container listens on is not ours to say.
    """
    direct, hidden, controller, shown = free_ports(4)
    settings = {
        "listeners": (
            f"PLAINTEXT://127.0.0.1:{direct},PROXIED://127.0.0.1:{hidden},"
            f"CONTROLLER://127.0.0.1:{controller}"
        ),
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{direct},PROXIED://127.0.0.1:{shown}",
        "listener.security.protocol.map": (
            "PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT"
        ),
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
    }
    with (
        start_broker(settings=settings, data_dir=folder, port=direct) as broker,
        make(shown, hidden) as proxy,
    ):
        yield broker, f"127.0.0.1:{shown}", proxy
