"""The code of a seed's job: a tree as it is, or a copy that another version came before."""

import re
import shutil
from pathlib import Path
from typing import Final

from tests.drills.drill_scene import DrillError

_PACKAGES: Final = ("flows", "operators", "connectors")
# Where a key belongs in an index: nothing that is kept on disk or in Kafka depends on it, but all
# compiled loops that look for keys do, wherever they are.
_CONSTANT: Final = re.compile(r"^_MULTIPLIER = np\.uint64\((0x[0-9A-Fa-f]+)\)", re.MULTILINE)
_OTHER: Final = 0xD6E8FEB86659FD93


class Tree:
    """A copy of the job's code that can be switched to another version and back, in place.

    What numba has compiled is kept in a folder of its own, as on the volume of a container that
    gets a new image: both versions are found under the same path there.
    """

    def __init__(self, code: Path, folder: Path) -> None:
        self.path = folder / "tree"
        self.variables = {"NUMBA_CACHE_DIR": str(folder / "compiled")}
        self.path.mkdir()
        for name in _PACKAGES:
            shutil.copytree(
                code / name, self.path / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        found = [
            path
            for path in (self.path / "operators").rglob("*.py")
            if _is_index(path.read_text("utf-8"))
        ]
        if len(found) != 1:
            msg = f"one file of {code} should have find_key and _MULTIPLIER, but: {found}"
            raise DrillError(msg)
        self._file = found[0]
        self._as_it_is = self._file.read_text("utf-8")

    def switch(self, *, other: bool) -> None:
        """Make it the other version, or the one that is to be tested."""
        text = self._as_it_is
        if other:
            text = _CONSTANT.sub(f"_MULTIPLIER = np.uint64({_OTHER:#x})", text)
        if self._file.read_text("utf-8") != text:
            self._file.write_text(text, "utf-8")
            # Python goes by whole seconds of a file's time, and by its length, which is the same.
            for path in self._file.parent.rglob(f"__pycache__/{self._file.stem}.*.pyc"):
                path.unlink()


def _is_index(text: str) -> bool:
    return "def find_key" in text and _CONSTANT.search(text) is not None
