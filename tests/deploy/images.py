"""Images for the tests that run containers: pulled, or built from Debian's packages."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.kafka.java import _jars
from tests.integration.job import ROOT

IMAGE: Final = ROOT / "deploy" / "image"
STAND_INS: Final = IMAGE / "stand-ins"
PYTHON: Final = "python:3.11-slim-bookworm"
KAFKA: Final = "apache/kafka:4.3.1"
PROMETHEUS: Final = "prom/prometheus:v3.5.0"
_BASE: Final = "dedup-base"
_JAVA_BASE: Final = "dedup-base-java"
_PROMETHEUS_BASE: Final = "dedup-base-prometheus"
_BUILD_SECONDS: Final = 1200.0


def run(*command: str | Path, cwd: Path = ROOT, seconds: float = _BUILD_SECONDS) -> str:
    """Run a command; return what it printed, fail with it if it fails."""
    answer = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env={**os.environ, "DOCKER_BUILDKIT": "0"},  # what every Docker has
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert answer.returncode == 0, f"{command}:\n{answer.stdout[-4000:]}"
    return answer.stdout


def is_there(image: str) -> bool:
    """Whether this machine has an image."""
    command = ["docker", "image", "inspect", image]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _pulled(image: str) -> bool:
    if is_there(image):
        return True
    command = ["docker", "pull", "--quiet", image]
    return subprocess.run(command, capture_output=True, check=False, timeout=300).returncode == 0


def _made_base(name: str, packages: str = "") -> str:
    if not is_there(name):
        run(IMAGE / "make-base.sh", name, *filter(None, [packages]))
    return name


def python_image() -> str:
    """A base for our image: the one it is meant for, or one made here."""
    return PYTHON if _pulled(PYTHON) else _made_base(_BASE)


def build(python: str) -> None:
    """Build our image, as the compose file names it."""
    run(
        *("docker", "build", "--network", "host", "--build-arg", f"PYTHON_IMAGE={python}"),
        *("-f", "deploy/image/Dockerfile", "-t", "bytewax-dedup", "."),
    )


def have_kafka(folder: Path) -> None:
    """Have Kafka's image under its name, if need be one that stands in for it."""
    if _pulled(KAFKA):
        return
    for jar in _jars().glob("*.jar"):
        shutil.copy(jar, folder)
    base = _made_base(_JAVA_BASE, "openjdk-17-jre-headless")
    _build_stand_in("kafka", KAFKA, base, folder)


def have_prometheus(folder: Path) -> None:
    """Have Prometheus' image under its name, if need be one that stands in for it."""
    if not _pulled(PROMETHEUS):
        base = _made_base(_PROMETHEUS_BASE, "prometheus,wget")
        _build_stand_in("prometheus", PROMETHEUS, base, folder)


def _build_stand_in(name: str, image: str, base: str, context: Path) -> None:
    for path in STAND_INS.iterdir():
        shutil.copy(path, context)
    file = context / f"{name}.Dockerfile"
    run("docker", "build", "--build-arg", f"BASE={base}", "-f", file, "-t", image, context)


def compose() -> Sequence[str]:
    """Compose, as a plugin or as the program that it was."""
    plugin = ["docker", "compose"]
    if subprocess.run([*plugin, "version"], capture_output=True, check=False).returncode == 0:
        return plugin
    return ["docker-compose"]
