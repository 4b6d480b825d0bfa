"""RFC 3339 times, from the grammar in its section 5.6."""

import datetime as dt
import re
from decimal import Decimal
from fractions import Fraction

_DATE_TIME = re.compile(
    r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})"
    r"[Tt]"
    r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})(?P<fraction>\.[0-9]+)?"
    r"(?:[Zz]|(?P<sign>[+-])(?P<offset_hour>[0-9]{2}):(?P<offset_minute>[0-9]{2}))"
)
_EPOCH = dt.date(1970, 1, 1).toordinal()
_DAY = 86400
_LEAP = 60


def rfc3339(text: str) -> float:
    """Epoch seconds, the exact value rounded once to a double.

    A leap second is the second after it, and may stand at the end of any UTC day.
    Raises ValueError for anything that RFC 3339 does not allow.
    """
    parts = _DATE_TIME.fullmatch(text)
    if parts is None:
        message = "not RFC 3339"
        raise ValueError(message)
    hour, minute, second = int(parts["hour"]), int(parts["minute"]), int(parts["second"])
    offset_hour, offset_minute = int(parts["offset_hour"] or 0), int(parts["offset_minute"] or 0)
    _check(hour, 23)
    _check(minute, 59)
    _check(second, _LEAP)
    _check(offset_hour, 23)
    _check(offset_minute, 59)
    east = -1 if parts["sign"] == "-" else 1
    offset = east * (offset_hour * 3600 + offset_minute * 60)
    days = _days(int(parts["year"]), int(parts["month"]), int(parts["day"]))
    whole = days * _DAY + hour * 3600 + minute * 60 + second - offset
    if second == _LEAP and whole % _DAY != 0:
        message = "a leap second elsewhere than at the end of a UTC day"
        raise ValueError(message)
    fraction = Fraction(Decimal("0" + (parts["fraction"] or ".0")))
    return float(whole + fraction)


def _check(value: int, largest: int) -> None:
    if value > largest:
        message = f"{value} is more than {largest}"
        raise ValueError(message)


def _days(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01; datetime refuses days that do not exist, but also the year 0000."""
    if year == 0:  # the calendar repeats after 400 years of 146097 days
        return _days(400, month, day) - 146097
    return dt.date(year, month, day).toordinal() - _EPOCH
