"""The lines of `dedup status`: charts, durations and sizes."""

import re

import pytest

from flows.cli.status.text import lines_of, seconds, size
from tests.status_reports import report


def test_charts_add_up_all_processes() -> None:
    lines = lines_of([report(), report()], [], curves=True)

    assert re.search(r"throughput .*  █{19}$", lines[1])
    assert re.search(r"input lag .*  (▁▃▅▆█|▁▂▃▅▆▇█)+", next(x for x in lines if "lag" in x))


def test_the_hottest_keys_of_all_processes_are_listed() -> None:
    keys = [
        {"lane": lane, "matched": "event_id", "example": f"0:{lane}", "duplicates": 10 + lane}
        for lane in range(8)
    ]
    reports = [report(hot_keys=keys[::2]), report(hot_keys=keys[1::2])]
    lines = lines_of(reports, [], curves=False)
    table = lines[lines.index("") + 1 :]
    listed = [line.split()[-1] for line in table[table.index("") + 2 :]]

    assert listed == ["7", "6", "5", "4", "3"]


def test_without_duplicates_there_is_no_table_of_hot_keys() -> None:
    assert not any("hot key" in line for line in lines_of([report(hot_keys=[])], [], curves=False))


@pytest.mark.parametrize(
    "value, text",
    [
        (0.0004, "0.4 ms"),
        (0.0342, "34 ms"),
        (0.25, "0.2 s"),
        (9.96, "10 s"),
        (-42, "−42 s"),
        (600, "10 min"),
        (9000, "2.5 h"),
        (1e6, "11.6 days"),
    ],
)
def test_durations(value: float, text: str) -> None:
    assert seconds(value) == text


@pytest.mark.parametrize(
    "value, text", [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB")]
)
def test_sizes(value: float, text: str) -> None:
    assert size(value) == text
