"""Event times: RFC 3339 text and JSON numbers to epoch seconds."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from operators.columns.arrays import Floats
from operators.columns.jit import jit, jit_inlined

_Text = npt.NDArray[np.uint8]
_Ints = npt.NDArray[np.int64]
_DASH, _COLON, _POINT, _PLUS, _ZERO = (ord(char) for char in "-:.+0")
_TS: Final = (ord("T"), ord("t"))
_ZS: Final = (ord("Z"), ord("z"))
# Lengths of YYYY-MM-DDTHH:MM:SS and +HH:MM.
_LOCAL: Final = 19
_OFFSET: Final = 6
_MAX_DIGITS: Final = 9
# From 2^19 seconds on, a fraction shifted to the end of the mantissa fits into 64 bits.
_MIN_EXPONENT: Final = 19
_MANTISSA: Final = 52
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(\.\d+)?(?:[Zz]|([+-])(\d\d):(\d\d))",
    re.ASCII,
)
_DAYS_IN_MONTH = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_NINES = str.maketrans("0123456789", "9876543210")
_FEBRUARY = 2
_LEAP_SECOND = 60
_DAY_SECONDS = 86_400
_LAST_SECOND_OF_DAY = 86_399


@jit_inlined
def is_day(year: int, month: int, day: int) -> bool:
    """Tell whether the calendar has such a day; no number may be negative."""
    if not 1 <= month <= 12:  # noqa: PLR2004 - calendar
        return False
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return 1 <= day <= _DAYS_IN_MONTH[month - 1] + (month == _FEBRUARY and leap)


@jit_inlined
def days_from_civil(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 in the proleptic Gregorian calendar, year 0 included.

    Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    """
    year -= month <= _FEBRUARY
    era = year // 400
    year_of_era = year - era * 400
    day_of_year = (153 * (month + (-3 if month > _FEBRUARY else 9)) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * 146_097 + day_of_era - 719_468


def parse_rfc3339(text: str) -> float | None:
    """Epoch seconds of an RFC 3339 date-time, or None if it is not one.

    text: any string.  A leap second (`:60`) is read as the second after it and is
    accepted only as the last second of a UTC day.  Fractions may have any number
    of digits.  Source: RFC 3339, section 5.6 and appendix D.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = map(int, match.group(1, 2, 3, 4, 5, 6))
    fraction, sign, offset_hour, offset_minute = match.group(7, 8, 9, 10)
    if hour > 23 or minute > 59 or second > _LEAP_SECOND or not is_day(year, month, day):  # noqa: PLR2004 - clock
        return None
    offset = 0
    if sign is not None:
        if int(offset_hour) > 23 or int(offset_minute) > 59:  # noqa: PLR2004 - RFC 3339's grammar
            return None
        offset = (int(offset_hour) * 3600 + int(offset_minute) * 60) * (-1 if sign == "-" else 1)
    whole = (
        days_from_civil(year, month, day) * _DAY_SECONDS
        + hour * 3600
        + minute * 60
        + second
        - offset
    )
    if second == _LEAP_SECOND and (whole - 1) % _DAY_SECONDS != _LAST_SECOND_OF_DAY:
        return None
    return _nearest_double(whole, fraction.rstrip("0") if fraction else ".")


def _nearest_double(whole: int, fraction: str) -> float:
    """Double nearest to a whole number plus a fraction (`.` and digits, the last not 0).

    The decimal text is converted at once: a sum of two doubles would be rounded twice.
    """
    digits = fraction[1:]
    if whole >= 0 or not digits:
        return float(f"{whole}{fraction}")
    # −3 plus .25 is −2.75: a 2, then the digits of 1 − .25.
    return -float(f"{-whole - 1}.{digits[:-1].translate(_NINES)}{10 - int(digits[-1])}")


def event_time(value: object) -> float | None:
    """Epoch seconds of a JSON time value, or None if it is not a finite time.

    value: a number (epoch seconds), or a string in RFC 3339; anything else is None.
    """
    if isinstance(value, str):
        return parse_rfc3339(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        seconds = float(value)
    except OverflowError:
        return None
    return seconds + 0.0 if math.isfinite(seconds) else None  # -0.0 is 0.0


def parse_times(texts: Sequence[str]) -> Floats:
    """Epoch seconds of each text, NaN for texts that only `event_time` can read or reject.

    Source: RFC 3339, section 5.6.
    """
    times = np.full(len(texts), np.nan)
    joined = "".join(texts)
    if joined.isascii():
        sizes = np.fromiter(map(len, texts), np.int64, len(texts))
        _parse(np.frombuffer(joined.encode(), np.uint8), sizes.cumsum(), times)
    return times


@jit
def _parse(text: _Text, ends: _Ints, times: Floats) -> None:
    begin = 0
    for row in range(len(ends)):
        times[row] = _parse_one(text, begin, ends[row])
        begin = ends[row]


@jit
def _number(text: _Text, begin: int, count: int) -> int:
    """Read `count` digits; return −1 if any character is not a digit."""
    number = 0
    for at in range(begin, begin + count):
        digit = int(text[at]) - _ZERO
        if not 0 <= digit <= 9:  # noqa: PLR2004 - digits
            return -1
        number = number * 10 + digit
    return number


@jit
def _parse_one(text: _Text, begin: int, end: int) -> float:
    if end - begin <= _LOCAL:
        return math.nan
    local = _local_seconds(text, begin)
    at = begin + _LOCAL
    fraction = digits = 0
    if text[at] == _POINT:
        at += 1
        while at < end and digits < _MAX_DIGITS and _number(text, at, 1) >= 0:
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


@jit
def _local_seconds(text: _Text, begin: int) -> int | None:
    """Seconds from 1970 to YYYY-MM-DDTHH:MM:SS, both in the same time zone."""
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


@jit
def _offset(text: _Text, at: int, end: int) -> int | None:
    """Seconds east of UTC; None if the text does not end in a zone."""
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


@jit
def _with_fraction(whole: int, fraction: int, digits: int) -> float:
    """Nearest double, or NaN if its computation needs more than 64 bits.

    There is only one: the middle between two doubles has more than nine decimal digits.
    """
    exponent = _MIN_EXPONENT
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
