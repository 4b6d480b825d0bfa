"""Which drills there are, and how one is run."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from deploy.kafka import Broker
from tests.drills import brokers, clusters, kills, recovery
from tests.drills.drill_scene import DrillError, Outcome, Scale, Stage
from tests.drills.proxy import Proxy

_ON_ANY: Final[dict[str, Callable[[Stage, Scale], None]]] = {
    "kills": kills.random_kills,
    "kill-points": kills.kill_points,
    "old-cluster": clusters.old_cluster,
    "sizes": clusters.sizes,
    "lost-directory": recovery.lost_directory,
    "lost-partition": recovery.lost_partition,
    "full-disk": recovery.full_disk,
}
BROKER_KILLS: Final = "broker-kills"
NETWORK: Final = "network"
NAMES: Final = (*_ON_ANY, BROKER_KILLS, NETWORK)


def run(  # noqa: PLR0917 - what a drill is made of
    name: str,
    broker: Broker,
    folder: Path,
    seed: int,
    scale: Scale,
    settings: Mapping[str, str] | None = None,
) -> Outcome:
    """Run one drill.

    broker: one that may be killed, where the drill is to kill it.  folder: for recovery
    directories, state and what the job says.  settings: the job's, where it is not to be as
    it is by default.
    """
    settings = settings or {}
    if name == NETWORK:
        return _network(folder, seed, scale, settings)
    with _stage(name, broker.bootstrap, folder, seed, scale, settings) as stage:

        def trouble() -> None:
            if name == BROKER_KILLS:
                brokers.broker_kills(stage, scale, broker)
            else:
                _ON_ANY[name](stage, scale)

        return _finish(stage, trouble)


def _network(folder: Path, seed: int, scale: Scale, settings: Mapping[str, str]) -> Outcome:
    with brokers.behind_a_proxy(folder / "broker", Proxy) as (broker, address, proxy):
        direct = {**settings, "DEDUP_BROKERS": address}
        with _stage(NETWORK, broker.bootstrap, folder, seed, scale, direct) as stage:
            return _finish(stage, lambda: brokers.network(stage, scale, proxy))


def _stage(  # noqa: PLR0917 - what a stage is made of
    name: str,
    bootstrap: str,
    folder: Path,
    seed: int,
    scale: Scale,
    settings: Mapping[str, str],
) -> Stage:
    place = folder / f"{name}-{seed}"
    return Stage(name, bootstrap, place, seed=seed, rate=scale.rate, settings=settings)


def _finish(stage: Stage, trouble: Callable[[], None]) -> Outcome:
    """Cause trouble, then count; what went otherwise than promised is part of the outcome."""
    wrong: tuple[str, ...] = ()
    try:
        trouble()
    except (DrillError, AssertionError) as error:
        wrong = (str(error),)
    outcome = stage.finish(stage.draw.choice((1, 2, 3)))
    return replace(outcome, wrong=(*wrong, *outcome.wrong))
