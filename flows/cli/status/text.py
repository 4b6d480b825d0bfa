"""The status of a job as lines of text: all processes together, its input, its lanes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise, zip_longest
from typing import Any, TypeAlias

from operators.verdicts import VERDICTS

Report: TypeAlias = dict[str, Any]
"""The report of a process at `/status`, decoded from JSON."""

_BLOCKS = "▁▂▃▄▅▆▇█"
_CURVE_COLUMNS = 40
_BYTES = ("B", "KiB", "MiB", "GiB", "TiB")
_BYTE_STEP = 1024
_MAX_PARTITIONS = 4
_MAX_HOT_KEYS = 5
_MAX_INPUTS = 8
_LABEL_COLUMNS = 12
# Durations below this many seconds are shown in this unit (seconds), in this format.
_DURATIONS = (
    (0.00995, 0.001, "{:.1f} ms"),
    (0.0995, 0.001, "{:.0f} ms"),
    (9.95, 1, "{:.1f} s"),
    (120, 1, "{:.0f} s"),
    (7200, 60, "{:.0f} min"),
    (172_800, 3600, "{:.1f} h"),
    (math.inf, 86_400, "{:,.1f} days"),
)


def lines_of(reports: Sequence[Report], missing: Sequence[str], *, curves: bool) -> list[str]:
    """Make the lines for a job.

    reports: of the processes that answer.  missing: a line for each of the others.
    curves: whether to draw small charts; the reports need a history then.
    """
    lines = list(missing)
    for report in reports:
        lines += [f"process {report['process']}: {problem}" for problem in report["problems"]]
    if not reports:
        return lines
    return [
        _title(reports, len(missing)),
        *lines,
        *_figures(reports, curves=curves),
        "",
        *_inputs(reports),
        *_lanes(reports),
        *_hot_keys(reports),
    ]


def _title(reports: Sequence[Report], missing: int) -> str:
    first = reports[0]
    stages = ", ".join(dict.fromkeys(str(report["stage"]) for report in reports))
    ready = sum(bool(report["ready"]) for report in reports)
    return (
        f"{first['app_id']}: {stages}, {ready} of {len(reports) + missing} processes ready; "
        f"reads {first['input']}; up {seconds(min(r['uptime_seconds'] for r in reports))}; "
        f"version {', '.join(sorted({str(report['version']) for report in reports}))}"
    )


def _figures(reports: Sequence[Report], *, curves: bool) -> list[str]:
    counts = _add(report["processed"] for report in reports)
    total = sum(counts.values())
    shares = ", ".join(
        f"{verdict} {counts[verdict]:,} ({counts[verdict] / max(total, 1):.1%})"
        for verdict in VERDICTS
    )
    rate = sum(report["records_per_second"] for report in reports)
    inputs = [partition for report in reports for partition in report["inputs"]]
    commits = sum(report["commits"] for report in reports)
    durations = [
        report["commit_seconds"] for report in reports if report["commit_seconds"] is not None
    ]
    snapshot = max(report["checkpoint_age_seconds"] for report in reports)
    watermark_lags = [report["watermark_lag_seconds"] for report in reports if report["lanes"]]
    known = [lag for lag in watermark_lags if lag is not None]
    evicted = _add(report["evictions"] for report in reports)
    return [
        _line("throughput", f"{rate:,.0f} records/s", _curve(reports, _rates) if curves else ""),
        _line("verdicts", shares),
        _line("duplicates", _listed(_add(report["duplicates"] for report in reports))),
        _line(
            "input lag",
            _lag(inputs),
            _curve(reports, _lags) if curves else "",
        ),
        _line(
            "watermark",
            f"{seconds(max(known))} behind the wall clock"
            if known and len(known) == len(watermark_lags)
            else "unknown until every partition has been heard from",
        ),
        _line(
            "keys held",
            f"{sum(report['keys'] for report in reports):,}, about "
            f"{size(sum(report['bytes'] for report in reports))}; "
            f"{sum(report['restored_keys'] for report in reports):,} restored at the start",
        ),
        _line(
            "commits",
            f"{commits:,}"
            + (f", {seconds(max(durations))} each" if durations else "")
            + f"; last snapshot {seconds(snapshot)} ago",
        ),
        _line(
            "evictions",
            f"{sum(evicted.values()):,} keys: the guarantee is weakened ({_listed(evicted)})"
            if sum(evicted.values())
            else "none",
        ),
    ]


def _lag(inputs: Sequence[Report]) -> str:
    """Say how many records were not read, and for how many partitions that is not known."""
    unknown = sum(one["lag"] is None for one in inputs)
    parts = [f"unknown for {unknown:,} of {len(inputs):,} partitions"] if unknown else []
    if unknown == len(inputs) > 0:
        return parts[0]
    behind = [
        f"{one['topic']}/{one['partition']}: {one['lag']:,}"
        for one in sorted(inputs, key=lambda one: -(one["lag"] or 0))
        if one["lag"]
    ]
    listed = f" ({', '.join(behind[:_MAX_PARTITIONS])})" if behind else ""
    return ", ".join([f"{sum(one['lag'] or 0 for one in inputs):,} records{listed}", *parts])


def _line(label: str, text: str, curve: str = "") -> str:
    return f"{label:<{_LABEL_COLUMNS}}{text}" + (f"  {curve}" if curve else "")


def _lanes(reports: Sequence[Report]) -> list[str]:
    heads = ("lane", "process", "records", "keys", "memory", "watermark lag", "restored")
    rows = [
        (
            str(lane["lane"]),
            str(report["process"]),
            f"{lane['records']:,}",
            f"{lane['keys']:,}",
            size(lane["bytes"]),
            "unknown" if lane["watermark"] is None else seconds(report["at"] - lane["watermark"]),
            f"{lane['restored_keys']:,}",
        )
        for report in reports
        for lane in report["lanes"]
    ]
    rows.sort(key=lambda row: (int(row[0]), int(row[1])))
    return _table(heads, rows)


def _inputs(reports: Sequence[Report]) -> list[str]:
    """Make a table of the input partitions, the least known and the furthest behind first."""
    inputs = [(report, one) for report in reports for one in report["inputs"]]
    inputs.sort(key=lambda item: -math.inf if item[1]["lag"] is None else -item[1]["lag"])
    if not inputs:
        return []
    heads = ("topic", "partition", "not read", "state", "event time")
    rows = [
        (
            str(one["topic"]),
            str(one["partition"]),
            "unknown" if one["lag"] is None else f"{one['lag']:,}",
            str(one["state"]),
            "unknown"
            if one["event_time"] is None
            else f"{seconds(report['at'] - one['event_time'])} ago",
        )
        for report, one in inputs[:_MAX_INPUTS]
    ]
    more = len(inputs) - len(rows)
    return [*_table(heads, rows), *([f"and {more:,} more"] if more else []), ""]


def _hot_keys(reports: Sequence[Report]) -> list[str]:
    """Make a table of the keys with the most duplicates; no lines if there are none."""
    keys = [key for report in reports for key in report.get("hot_keys", ())]
    keys.sort(key=lambda key: -int(key["duplicates"]))
    if not keys:
        return []
    heads = ("hot key", "recent duplicates", "example", "lane")
    rows = [
        (str(key["matched"]), f"about {key['duplicates']:,}", key["example"], str(key["lane"]))
        for key in keys[:_MAX_HOT_KEYS]
    ]
    return ["", *_table(heads, rows)]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    return [
        "  ".join(f"{text:>{width}}" for text, width in zip(row, widths, strict=True))
        for row in (heads, *rows)
    ]


def _add(counts: Iterable[dict[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return total


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.most_common()) or "none"


def _rates(report: Report) -> list[float | None]:
    return [
        (sum(after["counts"]) - sum(before["counts"])) / max(after["at"] - before["at"], 1e-3)
        for before, after in pairwise(report["history"][:-1])
    ]


def _lags(report: Report) -> list[float | None]:
    return [sample["lag"] for sample in report["history"][:-1]]


def _curve(reports: Sequence[Report], samples: Callable[[Report], list[float | None]]) -> str:
    """Draw the sums of the last samples over all processes, a block for each sample.

    A sample that is not known leaves a gap.
    """
    columns = [samples(report)[-_CURVE_COLUMNS:][::-1] for report in reports]
    sums = [_sum(values) for values in zip_longest(*columns, fillvalue=0.0)][::-1]
    largest = max((value for value in sums if value is not None), default=0.0)
    top = len(_BLOCKS) - 1
    return "".join(
        " "
        if value is None
        else _BLOCKS[round(top * max(value, 0.0) / largest) if largest > 0 else 0]
        for value in sums
    )


def _sum(values: Iterable[float | None]) -> float | None:
    """Add up values; None if one of them is not known."""
    known = list(values)
    return None if None in known else sum(value for value in known if value is not None)


def seconds(value: float) -> str:
    """Format a duration for people."""
    sign, value = ("−", -value) if value < 0 else ("", value)
    return sign + next(
        text.format(value / unit) for limit, unit, text in _DURATIONS if value < limit
    )


def size(value: float) -> str:
    """Format a number of bytes for people."""
    unit = 0
    while value >= _BYTE_STEP and unit < len(_BYTES) - 1:
        value /= _BYTE_STEP
        unit += 1
    return f"{value:.{1 if unit and value < 100 else 0}f} {_BYTES[unit]}"  # noqa: PLR2004
