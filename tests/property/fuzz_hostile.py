"""Fuzzing of the decoder guided by coverage: `python -m tests.property.fuzz_hostile [seconds]`.

Needs atheris (`pip install atheris`), which is no dependency of the project.
"""

import importlib
import sys
from typing import Any


def main() -> None:
    """Fuzz until the time is over, or a record has no verdict: then atheris ends with its bytes."""
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["operators"]):
        hostile: Any = importlib.import_module("tests.property.test_hostile")

    def once(data: bytes) -> None:
        for spec in hostile.SPECS.values():
            hostile.decode(spec, [data, hostile.event(), None])

    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    arguments = [sys.argv[0], f"-max_total_time={seconds:.0f}", "-max_len=4096"]
    atheris.Setup(arguments, once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
