"""Event times: RFC 3339 text and JSON numbers to epoch seconds."""

from __future__ import annotations

import math
import re

from operators.columns.jit import compilable

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


@compilable
def is_day(year: int, month: int, day: int) -> bool:
    """Tell whether there is such a day; any numbers that are not negative."""
    if not 1 <= month <= 12:  # noqa: PLR2004 - calendar
        return False
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return 1 <= day <= _DAYS_IN_MONTH[month - 1] + (month == _FEBRUARY and leap)


@compilable
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
    return _seconds(whole, fraction.rstrip("0") if fraction else ".")


def _seconds(whole: int, fraction: str) -> float:
    """Nearest double of a whole number and a fraction (`.` and digits, the last not 0) above it.

    One conversion of the whole decimal text: a sum of two doubles would be rounded twice.
    """
    digits = fraction[1:]
    if whole >= 0 or not digits:
        return float(f"{whole}{fraction}")
    # −3 and .25 above it are −2.75: the digits of 1 − .25 after the 2.
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
