"""JSON as RFC 8259 has it, and its values compared as docs/reference/keys.md says."""

import json
import math
from collections.abc import Hashable
from decimal import Decimal
from typing import NoReturn, TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

_SHORT_ESCAPES = {8: r"\b", 9: r"\t", 10: r"\n", 12: r"\f", 13: r"\r", 34: r"\"", 92: r"\\"}


class NotJsonError(ValueError):
    """The bytes are not JSON."""


def parse(data: bytes) -> Json:
    """Value of a JSON text in UTF-8; of repeated member names the last counts.

    Integers keep all their digits, numbers with a fraction or exponent become doubles.
    Raises NotJsonError.
    """
    try:
        # json.loads would take a BOM, UTF-16 and UTF-32 when given bytes, so decode first.
        value: Json = json.loads(
            data.decode("utf-8"),
            parse_constant=_refuse,  # NaN, Infinity, -Infinity
            parse_int=lambda digits: int(Decimal(digits)),  # int() stops at 4300 digits
            object_pairs_hook=_members,
        )
        _refuse_surrogates(value)
        canonical(value)
    except RecursionError as error:
        # Choice: RFC 8259, section 9, and docs/reference/events.md leave the depth of nesting open.
        message = "nested too deep"
        raise NotJsonError(message) from error
    except ValueError as error:
        raise NotJsonError(str(error)) from error
    return value


def _refuse(name: str) -> NoReturn:
    message = f"{name} is not JSON"
    raise NotJsonError(message)


def _members(pairs: list[tuple[str, Json]]) -> Json:
    for name, value in pairs:  # those that a later one replaces, too
        _refuse_surrogates(name)
        _refuse_surrogates(value)
    return dict(pairs)


def _refuse_surrogates(value: Json) -> None:
    # Choice: half of a surrogate pair (only an escape can write one) is no Unicode string, and has
    # no UTF-8 form: `json`.  RFC 8259's grammar allows it, its section 8.2 warns, and RFC 7493
    # forbids it.
    if isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value):
        message = "lone surrogate"
        raise NotJsonError(message)
    if isinstance(value, list):
        for item in value:
            _refuse_surrogates(item)


def canonical(value: Json) -> Hashable:
    """Something hashable that is equal for two values exactly if keys.md calls them equal."""
    if value is None:
        return ("null",)
    if isinstance(value, bool):
        return ("boolean", value)
    if isinstance(value, int | float):
        # Python compares an int with a double by exact value.
        # Choice: 1e999 is the double infinity, and as a key equal to any other such number.
        return ("number", value)
    if isinstance(value, str):
        return ("string", value)
    if isinstance(value, list):
        return ("array", tuple([canonical(item) for item in value]))
    return ("object", frozenset([(name, canonical(item)) for name, item in value.items()]))


def canonical_text(value: Json) -> str:
    """Canonical JSON: RFC 8785 for order, strings and white space; numbers by number_text."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number_text(value)
    if isinstance(value, str):
        return _string_text(value)
    if isinstance(value, list):
        return "[" + ",".join([canonical_text(item) for item in value]) + "]"
    names = sorted(value, key=lambda name: name.encode("utf-16-be"))
    members = [f"{_string_text(name)}:{canonical_text(value[name])}" for name in names]
    return "{" + ",".join(members) + "}"


def _string_text(value: str) -> str:
    def escaped(char: str) -> str:
        code = ord(char)
        plain = f"\\u{code:04x}" if code < ord(" ") else char
        return _SHORT_ESCAPES.get(code, plain)

    return '"' + "".join(map(escaped, value)) + '"'


def number_text(value: float) -> str:
    """One text for each number, however it was written.

    Choice: RFC 8785 would print 2**60 + 1 and 2**60 alike, keys.md tells them apart.  So whole
    numbers are all their digits, also of a double (1e21 is 1 and 21 zeros), the others RFC 8785's.
    """
    if value in (math.inf, -math.inf):  # isfinite() refuses integers above the largest double
        return "Infinity" if value > 0 else "-Infinity"
    if value == int(value):
        return str(Decimal(int(value)))  # str(int) stops at 4300 digits
    shortest = Decimal(repr(value))
    sign, digits, _ = shortest.as_tuple()
    exponent = shortest.adjusted()
    smallest_plain = -6  # ECMAScript writes 0.000001, then 1e-7
    if exponent >= smallest_plain:
        return format(shortest, "f")
    first, *rest = map(str, digits)
    fraction = "." + "".join(rest) if rest else ""
    return f"{'-' * sign}{first}{fraction}e{exponent}"
