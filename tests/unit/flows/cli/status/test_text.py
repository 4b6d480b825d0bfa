"""The lines of `dedup status`: charts, durations and sizes."""

import re

import pytest

from flows.cli.status.text import lines_of, seconds, size
from tests.status_reports import input_of, report


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
    head = next(at for at, line in enumerate(lines) if "hot key" in line)
    listed = [line.split()[-1] for line in lines[head + 1 :]]

    assert listed == ["7", "6", "5", "4", "3"]


def test_without_duplicates_there_is_no_table_of_hot_keys() -> None:
    assert not any("hot key" in line for line in lines_of([report(hot_keys=[])], [], curves=False))


def test_a_lag_that_is_not_known_is_not_zero() -> None:
    lines = lines_of([report(inputs=[input_of(0, None)])], [], curves=False)

    assert "input lag   unknown for 1 of 1 partitions" in lines


def test_a_chart_has_gaps_where_the_lag_is_not_known() -> None:
    unknown = report()
    for sample in unknown["history"][5:10]:
        sample["lag"] = None
    lines = lines_of([unknown, report()], [], curves=True)

    assert "▁▃▅▆█     ▁▃▅▆█" in next(line for line in lines if "input lag" in line)


def test_the_least_known_partitions_and_those_furthest_behind_are_listed() -> None:
    inputs = [input_of(number, number) for number in range(9)] + [input_of(9, None)]
    reports = [report(inputs=inputs[::2]), report(inputs=inputs[1::2])]
    lines = lines_of(reports, [], curves=False)
    head = next(at for at, line in enumerate(lines) if "not read" in line)
    listed = [line.split()[1] for line in lines[head + 1 : head + 9]]

    assert listed == ["9", "8", "7", "6", "5", "4", "3", "2"]
    assert lines[head + 9] == "and 2 more"


def test_a_job_without_input_partitions_has_no_table_of_them() -> None:
    lines = lines_of([report(inputs=[])], [], curves=False)

    assert not any("not read" in line for line in lines)
    assert "input lag   0 records" in lines


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
