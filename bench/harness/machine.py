"""What a measurement was made on."""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

_PACKAGES = ("bytewax", "confluent-kafka", "msgspec", "numpy", "mmh3")


def machine() -> dict[str, object]:
    """Cores, memory, versions and the command: beside every figure."""
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
        "load_average": round(os.getloadavg()[0], 1),
        "command": ["python", *sys.orig_argv[1:]],
    }


def processor_shares() -> tuple[float, float]:
    """Return how much of 100 the processors were busy, and how much a hypervisor gave to others.

    Since the last call; the first one says nothing.
    """
    shares = psutil.cpu_times_percent()._asdict()
    stolen = shares.get("steal", 0.0)
    busy = 100.0 - shares["idle"] - shares.get("iowait", 0.0) - stolen
    return round(busy, 1), stolen


def write_results(name: str, document: dict[str, Any]) -> None:
    """Write `bench/results/<name>.json`, with the machine in it."""
    path = Path("bench/results", f"{name}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), **document}, indent=1) + "\n")
