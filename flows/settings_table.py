"""All settings as a Markdown table: `dedup config --table`, and the one in docs/settings.md."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import starmap
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from flows.markdown import markdown_table
from flows.settings.model import FIELD_OF, Settings
from flows.settings.sources import variable
from operators.keys.combination import Combination


def table_lines() -> Iterator[str]:
    """Yield the lines of the table, in the order in which the settings are declared."""
    yield from markdown_table(
        ("variable", "default", "values", "meaning"), starmap(_setting_row, FIELD_OF.items())
    )


def _setting_row(name: str, field_name: str) -> tuple[str, ...]:
    field = Settings.model_fields[field_name]
    return (
        f"`{variable(name)}`",
        _shown(field.get_default()),
        _values(field.annotation),
        field.description or "",
    )


def _values(annotation: Any) -> str:  # noqa: ANN401 - any type
    """Name the values that can be chosen from; for other types how a value is written."""
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    if annotation is bool:
        return "`true`, `false`"
    return ""


def _shown(default: Any) -> str:  # noqa: ANN401 - any setting's value
    if default is None:
        return "unset"
    if isinstance(default, str | Path):
        return f"`{default}`"
    if isinstance(default, float) and default.is_integer():
        default = int(default)
    return f"`{json.dumps(_plain(default), separators=(',', ':'))}`"


def _plain(value: Any) -> Any:  # noqa: ANN401 - any setting's value
    if isinstance(value, Combination):
        return list(value.fields)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
