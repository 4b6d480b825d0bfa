"""Canonical JSON: equal values have equal bytes.

docs/reference/keys.md says what is equal: strings by code point, numbers by value (`1`, `1.0`
and `1e0` are equal, integers of any size keep all their digits, a fraction or
an exponent makes an IEEE double), objects regardless of member order, the last of
repeated members counts.  Source for the order and the strings: RFC 8785.
"""

from __future__ import annotations

import json
import math
from typing import NoReturn

import msgspec

# Python and msgspec refuse longer integers (a guard against quadratic time).  They are
# kept as text.
_MAX_INT_DIGITS = 4000

NESTED_TOO_DEEPLY = "JSON nested too deeply"


class Literal:
    """A number kept as its canonical text: infinite doubles and very long integers."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        """text: the number in canonical JSON."""
        self.text = text

    def __eq__(self, other: object) -> bool:
        """Tell whether the canonical texts are equal."""
        return isinstance(other, Literal) and other.text == self.text

    def __hash__(self) -> int:
        """Hash of the canonical text."""
        return hash(self.text)


def _number(text: str) -> object:
    """Value of a JSON number with a fraction or an exponent."""
    value = float(text)
    if value.is_integer():
        return int(value)
    if math.isinf(value):
        # No JSON number is spelled like this, so it equals no other value.
        return Literal("Infinity" if value > 0 else "-Infinity")
    return value


def _integer(text: str) -> object:
    return int(text) if len(text) <= _MAX_INT_DIGITS else Literal(text)


def _refuse(text: str) -> NoReturn:
    msg = f"{text} is not JSON"
    raise ValueError(msg)


def _encode_literal(value: object) -> msgspec.Raw:
    if isinstance(value, Literal):
        return msgspec.Raw(value.text.encode())
    msg = f"not a JSON value: {type(value).__name__}"
    raise TypeError(msg)


number_hook = _number
"""For msgspec decoders: the value of a number with a fraction or an exponent."""

decode_plain = msgspec.json.Decoder(float_hook=_number).decode
"""Like `decode_json`, but raises for the longest integers too."""

encode_canonical = msgspec.json.Encoder(order="sorted", enc_hook=_encode_literal).encode
"""Canonical bytes of a value that `decode_json` (or a decoder with `number_hook`) read."""


def decode_json(value: bytes) -> object:
    """Read one JSON text (RFC 8259, UTF-8), numbers by value.

    Raises ValueError (msgspec.DecodeError and UnicodeDecodeError are ValueErrors)
    for anything that is not JSON, and for JSON nested deeper than Python's
    recursion limit, about 990 levels.
    """
    try:
        return decode_plain(value)
    except msgspec.ValidationError:
        # Valid JSON up to an integer that is too long for msgspec.
        return _decode_long_integers(value)
    except RecursionError:
        raise ValueError(NESTED_TOO_DEEPLY) from None


def is_json_object(value: bytes) -> bool:
    """Whether bytes are one complete JSON object and nothing else."""
    try:
        value.decode()
        return isinstance(decode_json(value), dict)
    except ValueError:
        return False


def _decode_long_integers(value: bytes) -> object:
    text = value.decode()
    try:
        decoded = json.loads(text, parse_float=_number, parse_int=_integer, parse_constant=_refuse)
        encode_canonical(decoded)  # a lone surrogate escape has no UTF-8
    except RecursionError:
        raise ValueError(NESTED_TOO_DEEPLY) from None
    return decoded
