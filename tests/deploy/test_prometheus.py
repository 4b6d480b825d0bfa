"""Alerts and dashboard: tested by Prometheus' own tools, and against the metrics that there are."""

import json
import re
import shutil
import subprocess
from collections import Counter
from typing import Final

import pytest
import yaml

from operators.monitoring.metrics import Metrics
from tests.deploy.promql import (
    DASHBOARD,
    PROMETHEUS,
    alerts,
    dashboard_queries,
    metrics_in,
    panels,
)
from tests.integration.job import ROOT

# Declared where a Bloom filter is in use; docs/reference/metrics.md names it.
ELSEWHERE: Final = {"dedup_bloom_false_positive_rate"}
RUNBOOK: Final = ROOT / "docs" / "runbook.md"


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("install prometheus: the alerts are tested by its promtool")
    return found


def known_metrics() -> set[str]:
    metrics = Metrics()
    metrics.duplicates.labels("event_id")
    metrics.input_lag.labels("t", 0)
    metrics.input_event_time.labels("t", 0)
    metrics.input_partitions.labels("read")
    metrics.evictions.labels("max_keys")
    found = {sample.name for family in metrics.registry.collect() for sample in family.samples}
    return found | ELSEWHERE | {"up"}


def test_the_rules_fire_when_they_should_and_not_else(promtool: str) -> None:
    for arguments in (
        ["check", "rules", "rules.yml"],
        ["check", "config", "prometheus.yml"],
        ["test", "rules", "rules_test.yml"],
    ):
        answer = subprocess.run(
            [promtool, *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0, answer.stdout + answer.stderr


def test_every_rule_is_tested_both_ways_and_says_what_to_do() -> None:
    tests = yaml.safe_load((PROMETHEUS / "rules_test.yml").read_text("utf-8"))["tests"]
    fired = re.findall(r'alertname="(\w+)"', json.dumps(tests).replace("\\", ""))
    fired += [case["alertname"] for test in tests for case in test.get("alert_rule_test", [])]
    names = Counter(rule["alert"] for rule in alerts())

    assert set(names) == set(fired)
    assert set(names.values()) == {1}
    for rule in alerts():
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"].keys() == {"summary", "description", "action", "runbook"}


def test_the_runbook_has_what_the_rules_point_at() -> None:
    headings = re.findall(r"^#+ (.*)$", RUNBOOK.read_text("utf-8"), re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}

    for rule in alerts():
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert ROOT / page == RUNBOOK
        assert anchor in anchors, rule["alert"]


def test_alerts_and_dashboard_ask_for_metrics_that_there_are() -> None:
    known = known_metrics()

    for query in [*(rule["expr"] for rule in alerts()), *dashboard_queries()]:
        asked = metrics_in(query)
        assert asked, query
        assert asked <= known, query


def test_the_dashboard_shows_every_metric_once_explained() -> None:
    shown = set().union(*map(metrics_in, dashboard_queries()))
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in known_metrics()}

    assert {re.sub(r"_bucket$", "", name) for name in shown} == families
    ids = [panel["id"] for panel in panels()]
    assert len(set(ids)) == len(ids)
    assert all(panel["description"] for panel in panels())
    assert json.loads(DASHBOARD.read_text("utf-8"))["uid"] == "bytewax-dedup"


def test_names_are_found_in_queries() -> None:
    query = (
        'sum by (job, le) (rate(a_bucket{job="x",b=~"c.+"}[5m] offset 10m)) > 0.1 + 2 * max(d)'
        " and on (job) group_left () e unless f"
    )
    assert metrics_in(query) == {"a_bucket", "d", "e", "f"}
