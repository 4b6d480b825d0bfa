"""The queries of the alerts and the dashboard, and the metrics that they ask for."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import yaml

from tests.integration.job import ROOT

PROMETHEUS: Final = ROOT / "deploy" / "prometheus"
DASHBOARD: Final = ROOT / "deploy" / "grafana" / "dedup.json"
_STRINGS_AND_MATCHERS: Final = re.compile(r'"[^"]*"|\{[^}]*\}|\[[^]]*\]')
_LABEL_LISTS: Final = re.compile(r"\b(?:by|on|ignoring|without|group_left|group_right)\s*\([^)]*\)")
_NAME: Final = re.compile(r"\b[a-zA-Z_:][a-zA-Z0-9_:]*\b(?!\s*\()")
_WORDS: Final = {"and", "or", "unless", "offset"}
# What a dashboard's variables stand for while a query is tried.
_VARIABLES: Final = {"$__rate_interval": "1m", "$job": "dedup", "$instance": ".*"}


def metrics_in(query: str) -> set[str]:
    """Names of the metrics that a PromQL query asks for."""
    bare = _LABEL_LISTS.sub(" ", _STRINGS_AND_MATCHERS.sub(" ", query))
    durations = re.sub(r"\boffset\s+\w+", " ", bare)
    return set(_NAME.findall(durations)) - _WORDS


def alerts() -> list[dict[str, Any]]:
    """The alerting rules."""
    text = (PROMETHEUS / "rules.yml").read_text("utf-8")
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    """The dashboard's panels that show something."""
    dashboard = json.loads(DASHBOARD.read_text("utf-8"))
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def dashboard_queries() -> Iterator[str]:
    """Each query of the dashboard, with something in place of its variables."""
    for panel in panels():
        for target in panel["targets"]:
            query: str = target["expr"]
            for variable, value in _VARIABLES.items():
                query = query.replace(variable, value)
            yield query
