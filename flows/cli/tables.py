"""Settings and metrics as Markdown tables, for the pages that list them.

`dedup config --table` prints the settings, `python -m flows.cli.tables` the metrics.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import starmap
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

from flows.settings.model import FIELD_OF, Settings
from flows.settings.sources import variable
from operators.keys.combination import Combination
from operators.monitoring.metrics import Metrics


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a Markdown table.  Cells may hold `|` and line breaks."""
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(map(_cell, row))} |"


def _cell(text: str) -> str:
    return text.replace("\n", " ").replace("|", r"\|")


class _DeclaredMetrics(CollectorRegistry):
    """Remembers metrics in the order of their registration.

    Samples would not do: a metric with labels has none until a label is set.
    """

    def __init__(self) -> None:
        super().__init__()
        self.metrics: list[MetricWrapperBase] = []

    def register(self, collector: Collector) -> None:
        super().register(collector)
        if isinstance(collector, MetricWrapperBase):
            self.metrics.append(collector)


def metric_lines() -> Iterator[str]:
    """Yield the lines of the metrics' table, in the order of their declaration."""
    declared = _DeclaredMetrics()
    Metrics(declared)
    yield from markdown_table(
        ("metric", "type", "labels", "what it is", "when it moves, or does not"),
        map(_metric_row, declared.metrics),
    )


def _metric_row(metric: MetricWrapperBase) -> tuple[str, ...]:
    family = next(iter(metric.collect()))
    # As Prometheus shows it: the client adds `_total` only when it exposes a counter.
    name = f"{family.name}_total" if family.type == "counter" else family.name
    labels = ", ".join(f"`{label}`" for label in metric._labelnames)  # noqa: SLF001 - no other way
    meaning, _, when = family.documentation.partition(". ")
    return f"`{name}`", family.type, labels, f"{meaning.removesuffix('.')}.", when


def setting_lines() -> Iterator[str]:
    """Yield the lines of the settings' table, in the order of their declaration."""
    yield from markdown_table(
        ("variable", "default", "values", "meaning"), starmap(_setting_row, FIELD_OF.items())
    )


def _setting_row(name: str, field_name: str) -> tuple[str, ...]:
    field = Settings.model_fields[field_name]
    return (
        f"`{variable(name)}`",
        _default_text(field.get_default()),
        _values(field.annotation),
        field.description or "",
    )


def _values(annotation: Any) -> str:  # noqa: ANN401 - any type
    """List the possible values of a choice or a switch; nothing for other types."""
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    if annotation is bool:
        return "`true`, `false`"
    return ""


def _default_text(default: Any) -> str:  # noqa: ANN401 - any setting's value
    if default is None:
        return "unset"
    if isinstance(default, str | Path):
        return f"`{default}`"
    if isinstance(default, float) and default.is_integer():
        default = int(default)
    return f"`{json.dumps(_json_value(default), separators=(',', ':'))}`"


def _json_value(value: Any) -> Any:  # noqa: ANN401 - any setting's value
    if isinstance(value, Combination):
        return list(value.fields)
    return [_json_value(item) for item in value] if isinstance(value, tuple) else value


if __name__ == "__main__":
    print(*metric_lines(), sep="\n")
