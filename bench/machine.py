"""What a measurement was made on."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable
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


def processor_shares() -> Callable[[], tuple[float, float]]:
    """Begin to watch the machine's processors; what is returned ends it.

    It returns how much of 100 they were busy, and how much a hypervisor gave to others.
    """
    before = psutil.cpu_times()._asdict()

    def end() -> tuple[float, float]:
        spent = {name: now - before[name] for name, now in psutil.cpu_times()._asdict().items()}
        # A guest's time is in its user's too.
        counted = [seconds for name, seconds in spent.items() if not name.startswith("guest")]
        whole = max(sum(counted), 0.01)
        stolen = spent.get("steal", 0.0)
        busy = whole - stolen - spent["idle"] - spent.get("iowait", 0.0)
        return round(100 * busy / whole, 1), round(100 * stolen / whole, 1)

    return end


def write_results(name: str, document: dict[str, Any]) -> None:
    """Write `bench/results/<name>.json`, with the machine in it."""
    path = Path("bench/results", f"{name}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), **document}, indent=1) + "\n")
