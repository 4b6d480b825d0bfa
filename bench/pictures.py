"""Draws what the benches wrote down: `python -m bench.pictures`.

Reads `bench/results/*.json`, writes `docs/pictures/*.svg`.  The machine that it was
measured on is named under each picture.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt

_RESULTS = Path("bench/results")
_PICTURES = Path("docs/pictures")
_OURS, _OTHERS, _LIMIT = "#2a78b8", "#c9803a", "#8a8a8a"


def _machine(document: dict[str, Any]) -> str:
    found = document["machine"]
    return f"{found['cores']} cores, {found['memory_gib']} GiB, Python {found['python']}"


def _save(figure: Any, name: str, document: dict[str, Any]) -> None:  # noqa: ANN401
    figure.text(0.99, 0.005, _machine(document), ha="right", va="bottom", fontsize=7, color="#666")
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    _PICTURES.mkdir(exist_ok=True)
    figure.savefig(_PICTURES / f"{name}.svg", metadata={"Date": None})
    plt.close(figure)


def _colour(name: str) -> str:
    if name.startswith(("exactly_once", "at_least_once", "ours")):
        return _OURS
    return _LIMIT if name.startswith("bare") else _OTHERS


def throughput(document: dict[str, Any]) -> None:
    """Records a second, and processor seconds for a million records."""
    names = sorted(document["medians"], key=lambda name: document["medians"][name]["rate"])
    runs = document["runs"]
    cpu = [sorted(run["cpu_seconds"] for run in runs if run["contender"] == name) for name in names]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 0.42 * len(names) + 1.4), sharey=True)
    colours = [_colour(name) for name in names]
    rates = [document["medians"][name]["rate"] / 1000 for name in names]
    spreads = [document["medians"][name]["spread"] / 1000 for name in names]
    left.barh(names, rates, xerr=spreads, color=colours, ecolor="#444")
    left.set_xlabel("thousand records a second")
    right.barh(names, [one[len(one) // 2] for one in cpu], color=colours)
    right.set_xlabel("processor seconds for a million records")
    _save(figure, "throughput", document)


def latency(document: dict[str, Any]) -> None:
    """p50, p99 and max at each rate."""
    found = document["latency"]
    figure, axes = plt.subplots(figsize=(8, 3.6))
    labels = [f"{one['contender']}\n{one['rate']:,}/s" for one in found]
    places = range(len(found))
    for offset, (name, shade) in enumerate((("p50", 1.0), ("p99", 0.65), ("max", 0.35))):
        axes.bar(
            [place + 0.27 * (offset - 1) for place in places],
            [one[name] for one in found],
            0.27,
            color=[_colour(one["contender"]) for one in found],
            alpha=shade,
            label=name,
        )
    axes.set_xticks(list(places), labels, fontsize=7)
    axes.set_yscale("log")
    axes.set_ylabel("milliseconds")
    axes.axhline(100, color="#444", linewidth=0.7, linestyle=":")
    axes.legend()
    _save(figure, "latency", document)


def growth(document: dict[str, Any]) -> None:
    """Processor time a record as each cause grows."""
    points = document["points"]
    causes = list(dict.fromkeys(point["cause"] for point in points))
    figure, grid = plt.subplots(2, (len(causes) + 1) // 2, figsize=(11, 5.2))
    for axes, cause in zip(grid.flat, causes, strict=False):
        mine = [point for point in points if point["cause"] == cause]
        for contender in dict.fromkeys(point["contender"] for point in mine):
            line = [point for point in mine if point["contender"] == contender]
            axes.plot(
                [str(point["value"]) for point in line],
                [point["measured"]["records_per_second"] / 1000 for point in line],
                marker="o",
                color=_colour(contender),
                label=contender,
            )
        axes.set_ylim(bottom=0)
        axes.set_xlabel(cause, fontsize=8)
        axes.tick_params(labelsize=7)
        axes.legend(fontsize=7)
    grid[0][0].set_ylabel("thousand records/s")
    grid[1][0].set_ylabel("thousand records/s")
    for axes in list(grid.flat)[len(causes) :]:
        axes.remove()
    _save(figure, "growth", document)


def state(document: dict[str, Any]) -> None:
    """Memory of bounded stores on an endless stream of new keys."""
    figure, axes = plt.subplots(figsize=(8, 3.4))
    for one in document["soaks"]:
        axes.plot(one["seconds"], one["rss_mb"], label=one["store"])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("seconds of nothing but new keys, one million held at most")
    axes.set_ylabel("resident memory, MB")
    axes.legend()
    _save(figure, "soak", document)


_DRAWN: dict[str, Callable[[dict[str, Any]], None]] = {
    "throughput": throughput,
    "latency": latency,
    "growth": growth,
    "state": state,
}


def main() -> int:
    """Draw whatever has been measured."""
    plt.rcParams["svg.hashsalt"] = "bytewax-dedup"
    plt.rcParams["font.size"] = 8
    for name, draw in _DRAWN.items():
        path = _RESULTS / f"{name}.json"
        if path.exists():
            draw(json.loads(path.read_text()))
            print(f"drawn: {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
