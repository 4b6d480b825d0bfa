"""The job as Kubernetes starts it: through the image's entrypoint, by pod name and hosts file."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from deploy.kafka.ports import free_ports
from tests.integration.job import ROOT, Job

NAME: Final = "dedup"
_ENTRYPOINT: Final = ROOT / "deploy" / "image" / "entrypoint.py"
# Reaches this machine, but does not say so: each pod has only its own part of the snapshots.
_HOST: Final = "0.0.0.0"  # noqa: S104 - nothing here is reached from elsewhere for long


class Pods(Job):
    """Pods of a StatefulSet, each with a volume that outlives it.

    volumes: folder of the volumes.  replicas: how many pods there are.
    """

    def __init__(
        self, settings: Mapping[str, str], folder: Path, volumes: Path, replicas: int
    ) -> None:
        super().__init__(
            {**settings, "PYTHONPATH": str(ROOT)}, folder, processes=replicas, recovery=volumes
        )
        volumes.mkdir(exist_ok=True)
        hosts = folder / f"hosts-{len(list(folder.glob('hosts-*')))}.txt"
        hosts.write_text("".join(f"{_HOST}:{port}\n" for port in free_ports(replicas)))
        self._commands = [
            _command(hosts, volumes / f"data-{NAME}-{number}", number) for number in range(replicas)
        ]


def _command(hosts: Path, volume: Path, number: int) -> list[str]:
    variables = {
        "BYTEWAX_POD_NAME": f"{NAME}-{number}",
        "BYTEWAX_STATEFULSET_NAME": NAME,
        "BYTEWAX_HOSTFILE_PATH": str(hosts),
        "BYTEWAX_RECOVERY_DIRECTORY": str(volume / "recovery"),
        "BYTEWAX_SNAPSHOT_INTERVAL": "1",
        "BYTEWAX_RECOVERY_BACKUP_INTERVAL": "0",
    }
    assigned = [f"{name}={value}" for name, value in variables.items()]
    job = [sys.executable, "-m", "bytewax.run", "flows.dedup"]
    return ["env", *assigned, sys.executable, str(_ENTRYPOINT), *job]
