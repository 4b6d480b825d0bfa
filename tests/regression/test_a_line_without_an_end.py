"""A line that did not end was copied whole with every piece of it that was read."""

import time
from pathlib import Path
from typing import Final

from connectors.files import source
from connectors.files.source import LinesSource
from tests.integration.embedded import event, settings_for
from tests.integration.job import Job, fail

MEGABYTES: Final = 90


def test_a_long_line_takes_time_by_its_length(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    seconds = []
    for size in (MEGABYTES // 6, MEGABYTES):
        path.write_bytes(bytes(size << 20) + b"\n")
        part = LinesSource(str(path)).build_part("source", "0", None)
        began = time.process_time()
        [batch] = part.next_batch()
        seconds.append(time.process_time() - began)
        assert len(batch.records.values[0] or b"") == size << 20
        part.close()
    # Copied with every piece it took 36 times as long.
    assert seconds[1] < 18 * seconds[0], seconds


def test_a_file_that_has_no_lines_is_named(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    with (tmp_path / "in.jsonl").open("wb") as file:
        file.write(event("a") + b"\n")
        file.truncate(2 * source._MAX_LINE_BYTES)

    line = fail(Job(settings, tmp_path))

    assert f"DEDUP_INPUT_FILE={tmp_path / 'in.jsonl'}: line 2 has more than 100,000,000" in line
