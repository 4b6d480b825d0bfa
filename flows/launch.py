"""The options that Bytewax was started with, as far as the job needs them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Bytewax's default.
_EPOCH_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Launch:
    """The options of a start.

    recovery: the recovery directory, None without one.  process: index in the cluster,
    from 0.  addresses: `host:port` of each process of a cluster.  epoch_seconds: length
    of an epoch.
    """

    recovery: Path | None
    process: int
    processes: int
    workers_per_process: int
    addresses: tuple[str, ...] = ()
    epoch_seconds: float = _EPOCH_SECONDS

    @property
    def one_host(self) -> bool:
        """Whether all processes are certainly on this machine."""
        return all(map(_is_loopback, self.addresses))

    @property
    def workers(self) -> int:
        """Number of workers in the whole cluster."""
        return self.processes * self.workers_per_process

    @property
    def own_workers(self) -> range:
        """Indexes of this process's workers."""
        first = self.process * self.workers_per_process
        return range(first, first + self.workers_per_process)


def read_launch(argv: Sequence[str], environ: Mapping[str, str]) -> Launch:
    """Read the options of `python -m bytewax.run` that the job needs.

    argv: the command line after the program.  environ: the `BYTEWAX_*` variables, which
    stand in for options; `waxctl` sets them in its pods.
    """
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("-r", "--recovery-directory")
    parser.add_argument("-i", "--process-id", type=int)
    parser.add_argument("-a", "--addresses")
    parser.add_argument("-w", "--workers-per-process", type=int)
    parser.add_argument("-s", "--snapshot-interval", type=float)
    options, _ = parser.parse_known_args(list(argv))
    recovery = options.recovery_directory or environ.get("BYTEWAX_RECOVERY_DIRECTORY")
    addresses = options.addresses or environ.get("BYTEWAX_ADDRESSES")
    hostfile = environ.get("BYTEWAX_HOSTFILE_PATH")
    if not addresses and hostfile and Path(hostfile).exists():
        addresses = ";".join(Path(hostfile).read_text().split())
    process = options.process_id
    if process is None and "BYTEWAX_PROCESS_ID" in environ:
        process = int(environ["BYTEWAX_PROCESS_ID"])
    pod, stateful_set = environ.get("BYTEWAX_POD_NAME"), environ.get("BYTEWAX_STATEFULSET_NAME")
    if process is None and pod and stateful_set:
        process = int(pod.removeprefix(f"{stateful_set}-"))
    interval = options.snapshot_interval
    if interval is None:
        interval = float(environ.get("BYTEWAX_SNAPSHOT_INTERVAL") or 0)
    workers = options.workers_per_process or environ.get("BYTEWAX_WORKERS_PER_PROCESS")
    return Launch(
        recovery=Path(recovery) if recovery else None,
        process=process or 0,
        processes=len(addresses.split(";")) if addresses else 1,
        workers_per_process=int(workers or 1),
        addresses=tuple(addresses.split(";")) if addresses else (),
        # Bytewax also takes 0 for its default.
        epoch_seconds=interval or _EPOCH_SECONDS,
    )


def _is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    return host in {"localhost", "::1"} or host.startswith("127.")
