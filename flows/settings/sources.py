"""Where settings are written: environment and file, and what is wrong there, in words."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from flows.settings.conflicts import ConflictError
from operators.errors import SettingsError

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

PREFIX = "DEDUP_"
CONFIG = "DEDUP_CONFIG"
# The test-suite's own variables.
_TESTS = "DEDUP_TEST_"
# Their values may hold passwords, wherever something is wrong in them.
_UNSHOWN = frozenset({"kafka", "consumer", "producer"})
# Enough to recognise a value by.
_SHOWN_CHARACTERS = 80
# Kubernetes sets these in every pod for services whose names begin with "dedup".
_SERVICE_LINK = re.compile(
    r"DEDUP_(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_\w+)?)"
)
_SERVICE_URL = re.compile(r"(?:tcp|udp|sctp)://")

# How a setting is named in the text of a rule.
_SETTING = re.compile(r"<([a-z_]+)>")

# What pydantic finds wrong with one value, as an instruction.
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
    """What environment and file say.

    values: by lower-case name, the environment's before the file's.
    file: path of the file, empty if there is none.
    from_file: names whose value is the file's.
    unknown: names that are no setting's, as problems in words.
    """

    values: dict[str, Any]
    file: str
    from_file: frozenset[str]
    unknown: list[str]

    def name(self, setting: str) -> str:
        """Name of a setting as the user knows it: the file's only if it is written there."""
        return setting if setting in self.from_file else variable(setting)

    def place(self, setting: str) -> str:
        """Name of a setting with the value that was written, and in which file."""
        shown = self.name(setting)
        if setting in self.values and setting not in _UNSHOWN:
            shown += f"={_shorten(_text(self.values[setting]))}"
        return f"{shown} (in {self.file})" if setting in self.from_file else shown


def variable(setting: str) -> str:
    """Environment variable of a setting."""
    return PREFIX + setting.upper()


def read_raw(environ: Mapping[str, str], known: Collection[str]) -> RawSettings:
    """Collect what is set.

    environ: environment variables.  known: names of all settings, lower case.
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


def explain_errors(error: ValidationError, written: RawSettings) -> list[str]:
    """Say what is wrong with settings, one text for each, by the names the user gave them.

    error: from making the Settings.  written: what they were made from.
    """
    texts: dict[str, str] = {}
    for detail in error.errors(include_url=False):
        cause = detail.get("ctx", {}).get("error")
        if not isinstance(cause, ConflictError):
            texts.setdefault(str(detail["loc"][0]), _rule(detail))
        elif not written.unknown:  # One of those may be meant to make the others fit.
            texts.update(cause.misfits)
    return [
        f"{written.place(setting)}: {_with_names(text, written)}" for setting, text in texts.items()
    ]


def one_line(problems: Iterable[str]) -> str:
    """Join problems to one line that can be printed."""
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


def _with_names(text: str, written: RawSettings) -> str:
    return _SETTING.sub(lambda match: written.name(match[1]), text)


def _unknown(name: str, known: Iterable[str]) -> str:
    # Someone may have written the name as the other source would have it.
    ours = {option.removeprefix(PREFIX).lower(): option for option in known}
    near = difflib.get_close_matches(name.removeprefix(PREFIX).lower(), ours, n=1)
    meant = f"did you mean {ours[near[0]]}?" if near else "leave it out"
    return f"{_shorten(name)} is not a setting; {meant}"


def _is_service_link(name: str, value: str) -> bool:
    if _SERVICE_LINK.fullmatch(name):
        return True
    # Too like a setting's name to pass with any value.
    return name.endswith("_PORT") and _SERVICE_URL.match(value) is not None


def _read_file(path: str) -> dict[str, Any]:
    try:
        text = Path(path).read_text("utf-8")
        content = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except OSError as error:
        msg = f"{CONFIG}={path}: cannot be read ({error.strerror}); name a file that can"
    except UnicodeDecodeError:
        msg = f"{CONFIG}={path}: is not UTF-8 text; save it as that"
    except yaml.MarkedYAMLError as error:
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        msg = f"{CONFIG}={path}: is not YAML{line} ({error.problem}); mend it there"
    except yaml.reader.ReaderError as error:
        msg = f"{CONFIG}={path}: is not YAML ({error.reason}); mend it there"
    except (ValueError, RecursionError) as error:
        msg = f"{CONFIG}={path}: is not YAML ({error}); mend it there"
    else:
        if content is None:
            return {}
        if isinstance(content, dict) and all(isinstance(name, str) for name in content):
            return content
        msg = f"{CONFIG}={path}: must be lines of a setting's name and its value, as in lanes: 4"
    raise SettingsError(one_line([msg])) from None


class _Loader(yaml.SafeLoader):
    """YAML in which a name that comes twice is an error: the last would win in silence."""

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
    """Show a value much as it was written in YAML."""
    if isinstance(value, str):
        return value
    return json.dumps(value) if value is None or isinstance(value, bool) else repr(value)


def _shorten(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
