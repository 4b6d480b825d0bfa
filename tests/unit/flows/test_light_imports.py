"""`dedup --help` and the image's entrypoint start without the slow packages."""

import subprocess
import sys

import pytest

SLOW = {"bytewax", "confluent_kafka", "numba", "numpy", "prometheus_client", "pydantic", "yaml"}
HELP = """
import contextlib, runpy
with contextlib.suppress(SystemExit):
    runpy.run_module("flows.cli", run_name="__main__")
"""


@pytest.mark.parametrize(
    "code, arguments",
    [
        pytest.param(HELP, ["--help"], id="python -m flows.cli --help"),
        pytest.param(
            "import contextlib, flows.cli.app\n"
            "with contextlib.suppress(SystemExit):\n"
            "    flows.cli.app.main()",
            ["--help"],
            id="dedup --help",
        ),
        pytest.param("import flows.launch", [], id="flows.launch"),
    ],
)
def test_slow_packages_are_not_imported(code: str, arguments: list[str]) -> None:
    show = "import sys; print('loaded:', *{name.partition('.')[0] for name in sys.modules})"
    command = [sys.executable, "-c", f"{code}\n{show}", *arguments]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    loaded = set(output.rpartition("loaded:")[2].split())
    assert "flows" in loaded
    assert not loaded & SLOW
