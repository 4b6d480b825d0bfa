"""Every error of writing outputs said to make room, those of links and rights, too."""

import os
from pathlib import Path

import pytest

from connectors.files.recoverable_files import OutputFiles
from operators.errors import SinkError


def test_a_link_in_the_place_of_the_marker(tmp_path: Path) -> None:
    (tmp_path / ".marker").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SinkError, match=r"symbolic links.* put that right, or set another folder"):
        OutputFiles(tmp_path, ("a",), ".marker", None, None)


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(SinkError, match=r"Not a directory.* put that right"):
        OutputFiles(tmp_path / "out" / "deeper", ("a",), ".marker", None, None)


def test_a_full_disk(tmp_path: Path) -> None:
    files = OutputFiles(tmp_path, ("b",), ".marker", None, None)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, files._files["b"])
    os.close(full)
    with pytest.raises(SinkError, match=r"No space left on device.* make room, or set"):
        files.write("b", b"line")
    files.close()
