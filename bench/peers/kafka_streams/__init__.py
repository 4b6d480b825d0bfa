"""Kafka Streams as a peer: its jars from Maven, the program compiled, how to run it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

_HERE = Path(__file__).parent
_CACHE = Path(__file__).parents[3] / ".cache" / "kafka-streams"
_HEAP = "-Xmx2g"


def java_command() -> list[str]:
    """Command line of the program, up to its arguments; built on the first call.

    Raises FileNotFoundError where there is no JDK 17 or Maven.
    """
    libraries, classes = _CACHE / "lib", _CACHE / "classes"
    if not libraries.exists():
        for tool in ("mvn", "javac"):
            if shutil.which(tool) is None:
                msg = f"Kafka Streams needs {tool}: install Maven and a JDK of version 17 or later"
                raise FileNotFoundError(msg)
        unfinished = _CACHE / "lib.new"
        subprocess.run(
            [
                *("mvn", "-q", "-B", "-f", str(_HERE / "pom.xml")),
                *("dependency:copy-dependencies", f"-DoutputDirectory={unfinished}"),
            ],
            check=True,
        )
        unfinished.rename(libraries)
    source = next(_HERE.glob("src/main/java/**/*.java"))
    subprocess.run(["javac", "-d", str(classes), "-cp", f"{libraries}/*", str(source)], check=True)
    return ["java", _HEAP, "-cp", f"{classes}:{libraries}/*", "peers.StreamsDedup"]
