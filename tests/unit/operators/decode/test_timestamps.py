"""Event times at the limits of RFC 3339, and against the model."""

import math
from datetime import datetime, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.decode.timestamps import event_time, parse_rfc3339, parse_times
from operators.keys.canonical_json import decode_json
from tests.model import rfc3339


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("1970-01-01T00:00:00Z", 0.0),
        ("1970-01-01t00:00:00z", 0.0),
        ("1970-01-01T00:00:00-00:00", 0.0),
        ("1970-01-01T01:30:00+01:30", 0.0),
        ("1969-12-31T12:00:00-12:00", 0.0),
        ("1969-12-31T23:59:59Z", -1.0),
        ("1969-12-31T23:59:59.75Z", -0.25),
        ("1969-12-31T23:59:57.25Z", -2.75),
        ("1969-12-31T23:59:57.0900Z", -2.91),
        ("1969-12-31T23:59:59." + "9" * 30 + "Z", -1e-30),  # not 0: the digits count
        ("1970-01-01T00:00:00." + "0" * 5000 + "1Z", 0.0),
        ("1969-12-31T23:59:59." + "0" * 5000 + "1Z", -1.0),
        ("2023-11-14T22:13:20.125Z", 1_700_000_000.125),
        ("2023-11-14T22:13:20.1000Z", 1_700_000_000.1),
        ("1970-01-01T00:00:00.1Z", 0.1),
        ("1970-01-03T00:00:00.999999999Z", 172_800.999_999_999),
        ("1970-01-08T00:00:00.9999999999Z", 604_800.999_999_999_9),
        ("2024-02-29T00:00:00Z", 1_709_164_800.0),
        ("2000-02-29T00:00:00Z", 951_782_400.0),
        ("2016-12-31T23:59:60Z", 1_483_228_800.0),  # a leap second is the second after it
        ("2016-12-31T23:59:60.5Z", 1_483_228_800.5),
        ("2017-01-01T00:59:60+01:00", 1_483_228_800.0),
        ("0000-01-01T00:00:00Z", -62_167_219_200.0),
        ("0000-02-29T00:00:00Z", -62_162_121_600.0),
        ("9999-12-31T23:59:59Z", 253_402_300_799.0),
    ],
)
def test_rfc3339(text: str, seconds: float) -> None:
    assert parse_rfc3339(text) == seconds
    (time,) = parse_times([text]).tolist()  # NaN leaves it to `event_time`
    assert math.isnan(time) or time == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "1700000000",
        "2023-01-01",
        "2023-01-01T00:00:00",
        "2023-01-01T00:00Z",
        "2023-01-01 00:00:00Z",
        "2023-1-01T00:00:00Z",
        "20230101T000000Z",
        "+2023-01-01T00:00:00Z",
        "12023-01-01T00:00:00Z",
        "2023-00-01T00:00:00Z",
        "2023-13-01T00:00:00Z",
        "2023-01-00T00:00:00Z",
        "2023-04-31T00:00:00Z",
        "2023-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2023-01-01T24:00:00Z",
        "2023-01-01T23:60:00Z",
        "2023-01-01T23:59:61Z",
        "2023-01-01T12:00:60Z",  # a leap second in the middle of a day
        "2023-01-01T23:59:60+01:00",
        "2023-01-01T00:00:00.Z",
        "2023-01-01T00:00:00,5Z",
        "2023-01-01T00:00:00+0100",
        "2023-01-01T00:00:00+24:00",
        "2023-01-01T00:00:00+01:60",
        "2023-01-01T00:00:00+01",
        "2023-01-01T00:00:00*01:00",
        "2023-01-01T00:00:00+01-00",
        "2023-01-01T00:00-00Z",
        "2023-01-01T00-00:00Z",
        "2023:01-01T00:00:00Z",
        "2023-01:01T00:00:00Z",
        "2023-01-01T00:00:0Z",
        " 2023-01-01T00:00:00Z",
        "2023-01-01T00:00:00Z\n",
        "２０23-01-01T00:00:00Z",  # noqa: RUF001 - digits of another alphabet
        "2023-01-01T00:00:00.５Z",  # noqa: RUF001
    ],
)
def test_not_rfc3339(text: str) -> None:
    assert parse_rfc3339(text) is None
    assert math.isnan(parse_times([text])[0])


_TWO_DIGITS = st.sampled_from(["00", "01", "02", "12", "23", "24", "28", "29", "30", "31", "59"])
_PARTS = st.tuples(
    st.sampled_from(["0000", "0001", "1900", "1969", "1970", "2000", "2023", "2024", "9999"]),
    *[_TWO_DIGITS] * 4,
    _TWO_DIGITS | st.just("60"),
    st.just("") | st.text("0123456789", min_size=1, max_size=40).map(".{}".format),
    st.sampled_from(["Z", "z", "+00:00", "-00:01", "+23:59", "-12:00", "+01:30", "+24:00"]),
)


@given(_PARTS)
def test_rfc3339_is_read_as_the_model_reads_it(parts: tuple[str, ...]) -> None:
    text = "{}-{}-{}T{}:{}:{}{}{}".format(*parts)
    try:
        expected: float | None = rfc3339(text)
    except ValueError:
        expected = None
    assert parse_rfc3339(text) == expected


# `parse_times` reads a column: the same times, or NaN, which leaves a text to `event_time`.


def test_lengths_in_a_column_count_characters() -> None:
    assert np.isnan(parse_times(["é2", "023-01-01T00:00:00Z-"])).all()


_BEGIN, _END = datetime.fromisoformat("1970-01-09"), datetime.fromisoformat("9999-12-30")


@st.composite
def clock_texts(draw: st.DrawFn) -> str:
    """A text that a clock may write, at a time from which fractions are read."""
    date: datetime = draw(st.datetimes(_BEGIN, _END))
    digits = draw(st.text("0123456789", max_size=9) | st.sampled_from(["5", "999999999", "50"]))
    offset = draw(st.sampled_from(["Z", "z", "+00:00", "-00:00", "+23:59", "-23:59", "+05:30"]))
    text = date.strftime("%Y-%m-%dT%H:%M:%S") + (f".{digits}" if digits else "") + offset
    return text.replace("T", "t") if draw(st.booleans()) else text


@st.composite
def damaged_texts(draw: st.DrawFn) -> str:
    """One character of such a text is replaced, missing or repeated."""
    text: str = draw(clock_texts())
    at = draw(st.integers(0, len(text) - 1))
    instead: str = draw(
        st.sampled_from(["", text[at] * 2, *"0123456789", *"-:.+TtZz ,/", "\0", "é", "５"])  # noqa: RUF001
    )
    return text[:at] + instead + text[at + 1 :]


@given(st.lists(clock_texts(), min_size=1, max_size=5))
def test_a_column_of_texts_that_clocks_write_is_read_completely(texts: list[str]) -> None:
    assert parse_times(texts).tolist() == list(map(parse_rfc3339, texts))


@given(st.lists(clock_texts() | damaged_texts() | st.text(max_size=40), max_size=5))
def test_a_column_reads_the_same_or_nan(texts: list[str]) -> None:
    times = parse_times(texts).tolist()
    assert len(times) == len(texts)
    for time, text in zip(times, texts, strict=True):
        assert math.isnan(time) or time == parse_rfc3339(text)


@given(_PARTS)
def test_limits_are_the_same_in_a_column(parts: tuple[str, ...]) -> None:
    text = "{}-{}-{}T{}:{}:{}{}{}".format(*parts)
    (time,) = parse_times([text]).tolist()
    assert math.isnan(time) or time == parse_rfc3339(text)


@given(st.datetimes(_BEGIN, _END), st.integers(0, 2**33), st.integers(1, 9))
def test_a_column_reads_the_nearest_double(date: datetime, place: int, digits: int) -> None:
    """Fractions on both sides of the middle between two doubles."""
    date = date.replace(microsecond=0, tzinfo=timezone.utc)
    doubles = 1 << (53 - int(date.timestamp()).bit_length())  # in this second
    below = (2 * (place % doubles) + 1) * 10**digits // (2 * doubles)
    texts = [
        f"{date:%Y-%m-%dT%H:%M:%S}.{fraction:0{digits}}Z"
        for fraction in (below, min(below + 1, 10**digits - 1))
    ]
    assert parse_times(texts).tolist() == list(map(parse_rfc3339, texts))


@pytest.mark.parametrize(
    "json, seconds",
    [
        (b"0", 0.0),
        (b"-0.0", 0.0),
        (b"1700000000", 1.7e9),
        (b"1.7e9", 1.7e9),
        (b"-1.5", -1.5),
        (b"1e308", 1e308),
        (b"9" * 300, 1e300),
        (b'"1970-01-01T00:00:01Z"', 1.0),
        (b"1e999", None),
        (b"-1e999", None),
        (b"9" * 400, None),
        (b"9" * 5000, None),
        (b'"1"', None),
        (b"true", None),
        (b"null", None),
        (b"[1]", None),
        (b"{}", None),
    ],
)
def test_event_time(json: bytes, seconds: float | None) -> None:
    assert event_time(decode_json(json)) == seconds


@given(st.integers(-(2**70), 2**70), st.floats())
def test_a_number_is_its_time(whole: int, number: float) -> None:
    assert event_time(whole) == float(whole)
    assert event_time(number) == (number if math.isfinite(number) else None)
