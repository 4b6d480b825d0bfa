"""All metrics as a Markdown table: `python -m flows.cli.tables`, the one in docs/metrics.md."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

from flows.markdown import markdown_table
from operators.monitoring.metrics import Metrics


class _Declared(CollectorRegistry):
    """Remembers what was registered, in that order: labels show in no sample until they are set."""

    def __init__(self) -> None:
        super().__init__()
        self.metrics: list[MetricWrapperBase] = []

    def register(self, collector: Collector) -> None:
        super().register(collector)
        if isinstance(collector, MetricWrapperBase):
            self.metrics.append(collector)


def metric_lines() -> Iterator[str]:
    """Yield the lines of the table, in the order in which the metrics are declared."""
    declared = _Declared()
    Metrics(declared)
    yield from markdown_table(
        ("metric", "type", "labels", "what it is", "when it moves, or does not"),
        map(_metric_row, declared.metrics),
    )


def _metric_row(metric: MetricWrapperBase) -> tuple[str, ...]:
    family = next(iter(metric.collect()))
    # As Prometheus shows it; the client leaves the ending of a counter to the exposition.
    name = f"{family.name}_total" if family.type == "counter" else family.name
    labels = ", ".join(f"`{label}`" for label in metric._labelnames)  # noqa: SLF001 - no other way
    what, _, then = family.documentation.partition(". ")
    return f"`{name}`", family.type, labels, f"{what.removesuffix('.')}.", then


if __name__ == "__main__":
    print(*metric_lines(), sep="\n")
