"""Where settings come from: environment and YAML file, and what is wrong there, in words."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from operators.errors import SettingsError

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

PREFIX = "DEDUP_"
CONFIG = "DEDUP_CONFIG"
# Variables of the test suite.
_TESTS = "DEDUP_TEST_"
# Errors do not show these values: they may hold passwords.
_HIDDEN = frozenset({"kafka", "consumer", "producer"})
# Enough to recognise a value.
_MAX_SHOWN_CHARACTERS = 80
# Kubernetes sets these in every pod if the namespace has services whose names begin with "dedup".
_SERVICE_LINK = re.compile(
    r"DEDUP_(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_\w+)?)"
)
_SERVICE_URL = re.compile(r"(?:tcp|udp|sctp)://")

# Stands for a setting in the text of an error.
_SETTING = re.compile(r"<([a-z_]+)>")

# pydantic's error type → what the value must be.
_RULES = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "finite_number": "must be a finite number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a smaller number",
    "int_type": "must be a whole number",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "literal_error": "must be {expected}",
    "path_type": "must be a path: put it in quotes",
    "string_type": "must be text, in quotes where YAML reads it as something else",
    "string_unicode": "must be UTF-8 text",
}


@dataclass(frozen=True)
class RawSettings:
    """Values from environment and file, not yet checked.

    values: by lower-case name; the environment wins.
    file: path of the file, empty without one.
    from_file: names whose value comes from the file.
    unknown: a text for each name that is not a setting.
    """

    values: dict[str, Any]
    file: str
    from_file: frozenset[str]
    unknown: list[str]

    def name(self, setting: str) -> str:
        """Name of a setting as the user knows it: the file's name if its value is from the file."""
        return setting if setting in self.from_file else variable(setting)

    def place(self, setting: str) -> str:
        """Name of a setting, with its value as written, and the file if it is from there."""
        shown = self.name(setting)
        if setting in self.values and setting not in _HIDDEN:
            shown += f"={_shorten(_text(self.values[setting]))}"
        return f"{shown} (in {self.file})" if setting in self.from_file else shown

    def problem(self, setting: str, text: str) -> str:
        """Say what is wrong with a setting.  text: may name other settings, as in `<keys>`."""
        return f"{self.place(setting)}: {_SETTING.sub(lambda match: self.name(match[1]), text)}"


def variable(setting: str) -> str:
    """Environment variable of a setting."""
    return PREFIX + setting.upper()


def read_raw(environ: Mapping[str, str], known: Collection[str]) -> RawSettings:
    """Collect the values that are set.

    environ: environment variables.  known: lower-case names of all settings.
    Raises SettingsError if the file cannot be read.
    """
    path = environ.get(CONFIG, "")
    variables = {variable(setting): setting for setting in known}
    in_environ = {variables[name]: environ[name] for name in variables if name in environ}
    in_file = _read_file(path) if path else {}
    unknown = [
        _unknown(name, variables)
        for name, value in environ.items()
        if name.startswith(PREFIX)
        and name not in variables
        and name != CONFIG
        and not name.startswith(_TESTS)
        and not _is_service_link(name, value)
    ]
    unknown += [f"{_unknown(name, known)} (in {path})" for name in in_file if name not in known]
    usable = {name: value for name, value in in_file.items() if name in known}
    return RawSettings(
        values=usable | in_environ,
        file=path,
        from_file=frozenset(usable).difference(in_environ),
        unknown=unknown,
    )


def explain_errors(error: ValidationError, raw: RawSettings) -> list[str]:
    """Say what is wrong with values, one text for each setting.

    error: raised when Settings were made from `raw`.
    """
    texts: dict[str, str] = {}
    for detail in error.errors(include_url=False):
        texts.setdefault(str(detail["loc"][0]), _rule(detail))
    return [raw.problem(setting, text) for setting, text in texts.items()]


def one_line(problems: Iterable[str]) -> str:
    """Join problems into one printable line."""
    return "".join(
        character if character.isprintable() else _escaped(character)
        for character in " | ".join(problems)
    )


def _rule(detail: ErrorDetails) -> str:
    context = detail.get("ctx", {})
    if "error" in context:
        return str(context["error"])
    if detail["input"] is None:
        return "has no value: write one, or leave it out"
    rule = _RULES.get(detail["type"])
    return rule.format_map(context) if rule else detail["msg"]


def _unknown(name: str, known: Iterable[str]) -> str:
    # Names are compared without the prefix: the user may have mixed up the two sources.
    by_plain_name = {setting.removeprefix(PREFIX).lower(): setting for setting in known}
    near = difflib.get_close_matches(name.removeprefix(PREFIX).lower(), by_plain_name, n=1)
    advice = f"did you mean {by_plain_name[near[0]]}?" if near else "leave it out"
    return f"{_shorten(name)} is not a setting; {advice}"


def _is_service_link(name: str, value: str) -> bool:
    if _SERVICE_LINK.fullmatch(name):
        return True
    # The name is too close to `DEDUP_METRICS_PORT`: only a service's address excuses it.
    return name.endswith("_PORT") and _SERVICE_URL.match(value) is not None


def _read_file(path: str) -> dict[str, Any]:
    try:
        text = Path(path).read_text("utf-8")
        content = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except OSError as error:
        msg = f"{CONFIG}={path}: cannot be read ({error.strerror}); name a file that can"
    except UnicodeDecodeError:
        msg = f"{CONFIG}={path}: is not UTF-8 text; save it as UTF-8"
    except yaml.MarkedYAMLError as error:
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        msg = f"{CONFIG}={path}: is not YAML{line} ({error.problem}); correct it there"
    except yaml.reader.ReaderError as error:
        msg = f"{CONFIG}={path}: is not YAML ({error.reason}); correct it there"
    except (ValueError, RecursionError) as error:
        msg = f"{CONFIG}={path}: is not YAML ({error}); correct it there"
    else:
        if content is None:
            return {}
        if isinstance(content, dict) and all(isinstance(name, str) for name in content):
            return content
        msg = f"{CONFIG}={path}: must be lines of a setting's name and its value, as in lanes: 4"
    raise SettingsError(one_line([msg])) from None


class _Loader(yaml.SafeLoader):
    """YAML in which a repeated name is an error; plain YAML silently takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - the signature of PyYAML
        seen: set[object] = set()
        for key, _ in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else id(key)
            if name in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{name!r} comes twice", key.start_mark
                )
            seen.add(name)
        return super().construct_mapping(node, deep)


def _text(value: object) -> str:
    """Show a value about as it was written in YAML."""
    if isinstance(value, str):
        return value
    return json.dumps(value) if value is None or isinstance(value, bool) else repr(value)


def _shorten(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN_CHARACTERS else f"{text[:_MAX_SHOWN_CHARACTERS]}…"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
