"""The fast path of event times: a column of RFC 3339 texts at once.

It takes what clocks write: no leap second, nine digits of a second at most, no fraction
before 1970-01-07.  Whatever else there is goes to operators/decode/timestamps.py, which has the
last word; where both take a text they say the same, to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from operators.batches import Floats
from operators.columns.jit import compiled
from operators.decode.timestamps import days_from_civil, is_day

_Text = npt.NDArray[np.uint8]
_Ints = npt.NDArray[np.int64]

_DASH, _COLON, _POINT, _PLUS, _ZERO = (ord(char) for char in "-:.+0")
_TS: Final = (ord("T"), ord("t"))
_ZS: Final = (ord("Z"), ord("z"))
# Of YYYY-MM-DDTHH:MM:SS, and of +HH:MM.
_LOCAL: Final = 19
_OFFSET: Final = 6
_MOST_DIGITS: Final = 9
# Fractions of so large a number of seconds, moved to where a double ends, fit into 64 bits.
_LEAST_EXPONENT: Final = 19
_MANTISSA: Final = 52


def parse_times(texts: Sequence[str]) -> Floats:
    """Epoch seconds of each text, NaN for those that `event_time` has to look at.

    Source: RFC 3339, section 5.6.
    """
    times = np.full(len(texts), np.nan)
    joined = "".join(texts)
    if joined.isascii():
        sizes = np.fromiter(map(len, texts), np.int64, len(texts))
        _parse(np.frombuffer(joined.encode(), np.uint8), sizes.cumsum(), times)
    return times


@compiled
def _parse(text: _Text, ends: _Ints, times: Floats) -> None:
    begin = 0
    for row in range(len(ends)):
        times[row] = _seconds(text, begin, ends[row])
        begin = ends[row]


@compiled
def _number(text: _Text, begin: int, count: int) -> int:
    """Read some digits; below 0 if they are not."""
    number = 0
    for at in range(begin, begin + count):
        digit = int(text[at]) - _ZERO
        if not 0 <= digit <= 9:  # noqa: PLR2004 - digits
            return -1
        number = number * 10 + digit
    return number


@compiled
def _seconds(text: _Text, begin: int, end: int) -> float:
    if end - begin <= _LOCAL:
        return math.nan
    local = _local_seconds(text, begin)
    at = begin + _LOCAL
    fraction = digits = 0
    if text[at] == _POINT:
        at += 1
        while at < end and digits < _MOST_DIGITS and _number(text, at, 1) >= 0:
            fraction = fraction * 10 + _number(text, at, 1)
            digits += 1
            at += 1
        if not digits:
            return math.nan
    offset = _offset(text, at, end)
    if local is None or offset is None:
        return math.nan
    whole = local - offset
    return _with_fraction(whole, fraction, digits) if fraction else float(whole)


@compiled
def _local_seconds(text: _Text, begin: int) -> int | None:
    """Seconds of YYYY-MM-DDTHH:MM:SS since 1970 on the same clock."""
    if text[begin + 4] != _DASH or text[begin + 7] != _DASH or text[begin + 10] not in _TS:
        return None
    if text[begin + 13] != _COLON or text[begin + 16] != _COLON:
        return None
    year, month = _number(text, begin, 4), _number(text, begin + 5, 2)
    day, hour = _number(text, begin + 8, 2), _number(text, begin + 11, 2)
    minute, second = _number(text, begin + 14, 2), _number(text, begin + 17, 2)
    if min(year, month, day, hour, minute, second) < 0:
        return None
    if hour > 23 or minute > 59 or second > 59 or not is_day(year, month, day):  # noqa: PLR2004 - clock
        return None
    return days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second


@compiled
def _offset(text: _Text, at: int, end: int) -> int | None:
    """Seconds east of UTC; None if there is anything else at the end."""
    if end - at == 1 and text[at] in _ZS:
        return 0
    if end - at != _OFFSET or text[at + 3] != _COLON:
        return None
    hours, minutes = _number(text, at + 1, 2), _number(text, at + 4, 2)
    if not 0 <= hours <= 23 or not 0 <= minutes <= 59:  # noqa: PLR2004 - RFC 3339's grammar
        return None
    seconds = hours * 3600 + minutes * 60
    if text[at] == _PLUS:
        return seconds
    return -seconds if text[at] == _DASH else None


@compiled
def _with_fraction(whole: int, fraction: int, digits: int) -> float:
    """Nearest double, or NaN where that would need larger numbers.

    There is always one: the middle of two of them has more than nine digits.
    """
    exponent = _LEAST_EXPONENT
    if whole < 1 << exponent:
        return math.nan
    while whole >> exponent > 1:
        exponent += 1
    shift = _MANTISSA - exponent
    unit: int = 10**digits
    moved = fraction << shift
    part = moved // unit
    if 2 * (moved - part * unit) > unit:
        part += 1
    return whole + part / (1 << shift)
