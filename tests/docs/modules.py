"""Which test file belongs to which module: by its name, or by a row in tests/README.md.

`python -m tests.docs.modules` prints what is wrong, a line each.
"""

import re
from collections.abc import Iterator
from typing import Final

from tests.docs.guide import ROOT

_ROW: Final = re.compile(
    r"^\| `((?:connectors|flows|operators)/[^`]+)` \| `([^`]+)` \|$", re.MULTILINE
)
_PACKAGES: Final = ("connectors", "flows", "operators")
_TESTS: Final = ROOT / "tests"


def own_test(module: str) -> str:
    """Return the path of a module's own test file, in `tests/`."""
    folder, _, name = module.rpartition("/")
    return f"unit/{folder}/test_{name}"


def problems() -> Iterator[str]:
    """Yield modules without a test file or a row, and rows of what does not exist."""
    table = _ROW.findall((_TESTS / "README.md").read_text("utf-8"))
    modules = {
        path.relative_to(ROOT).as_posix()
        for package in _PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if path.name != "__init__.py"
    }
    for module, test in table:
        if module not in modules:
            yield f"{module} does not exist: take its row out of tests/README.md"
        elif not (_TESTS / test).is_file():
            yield f"tests/{test} does not exist: name another one for {module}"
        elif (_TESTS / own_test(module)).is_file():
            yield f"{module} has a test file of its own: take its row out of tests/README.md"
    for module in sorted(modules - {module for module, _ in table}):
        if not (_TESTS / own_test(module)).is_file():
            yield f"{module}: write tests/{own_test(module)}, or a row in tests/README.md"


if __name__ == "__main__":
    print(*problems(), sep="\n")
