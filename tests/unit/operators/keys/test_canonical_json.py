"""Equal JSON values have equal canonical bytes, and only those."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.keys.canonical_json import Literal, decode_json, encode_canonical
from tests.model import NotJsonError, canonical, parse

_EQUAL = [
    ["1", "1.0", "1e0", "10E-1", "0.1e1", "100e-2"],
    ["0", "-0", "0.0", "-0.0", "0e9", "1e-999"],
    ["9007199254740993"],
    ["9007199254740992", "9007199254740993.0", "9.007199254740992e15"],
    ["1" + "0" * 22, "1e22", "1E+22"],
    ["9" * 40],
    ["9" * 40 + ".0", "1e40"],
    ["1" + "0" * 4500],
    ["9" * 4500],
    ["-" + "9" * 4500],
    ["1e999", "9e400", "1" + "0" * 400 + ".0"],
    ["-1e999"],
    ["0.1", "1e-1", "0.10", "0.1000000000000000055511151231257827"],
    ["5e-324", "4.9e-324"],
    ["true"],
    ["false"],
    ["null"],
    ['"1"', r'"\u0031"'],
    ['"Infinity"'],
    ['"missing"'],
    ['""'],
    ['"é"', r'"\u00e9"', r'"\u00E9"'],
    ['"e\u0301"'],
    ['"😀"', r'"\ud83d\ude00"'],
    [r'"/"', r'"\/"', r'"\u002f"'],
    [r'"\u0000"'],
    ["[]", " [ ] "],
    ["[[]]"],
    ["[1,2]", "[1.0,\t2e0]"],
    ["[2,1]"],
    ["{}"],
    ['{"a":1,"b":2}', '{"b":2,"a":1}', '{"a":0,"b":2,"a":1.0}', r'{"\u0061":1,"b":2}'],
    ['{"a":1,"b":"2"}'],
    ['{"\ue000":1,"😀":2}', '{"😀":2,"\ue000":1}'],  # UTF-16 sorts them the other way
    ['{"a":{"b":[1e999]}}', '{"a":{"b":[2e999]}}'],
]
_TEXTS = [(text, kind) for kind, texts in enumerate(_EQUAL) for text in texts]


def _bytes(text: str) -> bytes:
    return encode_canonical(decode_json(text.encode()))


def test_equal_values_have_equal_bytes_and_no_others() -> None:
    kind_of: dict[bytes, int] = {}
    for text, kind in _TEXTS:
        assert kind_of.setdefault(_bytes(text), kind) == kind, text
    assert len(kind_of) == len(_EQUAL)


_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.floats(-3, 3).map(round).map(float)
    | st.text('ab\x00"\\é😀', max_size=2),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text("ab", max_size=1), inner, max_size=2)
    ),
    max_leaves=4,
)


@given(_JSON, _JSON)
def test_equality_is_that_of_the_model(first: object, second: object) -> None:
    texts = [json.dumps(first, ensure_ascii=False).encode(), json.dumps(second).encode()]
    model = [canonical(parse(text)) for text in texts]
    ours = [encode_canonical(decode_json(text)) for text in texts]
    assert (ours[0] == ours[1]) == (model[0] == model[1])


@given(_JSON)
def test_the_way_a_value_is_written_changes_nothing(value: object) -> None:
    plain = json.dumps(value, ensure_ascii=False)
    spaced = json.dumps(value, indent=1, sort_keys=True)
    assert _bytes(plain) == _bytes(spaced)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" ",
        b"{",
        b'{"a":1,}',
        b"[1,]",
        b"{'a':1}",
        b"{} {}",
        b"nul",
        b"True",
        b"01",
        b"-01",
        b"+1",
        b"1.",
        b".5",
        b"1e",
        b"-",
        b"0x1",
        b"1_0",
        b"NaN",
        b"[NaN]",
        b"Infinity",
        b"-Infinity",
        b'"\x01"',
        b'"\n"',
        b'"\\x41"',
        b'"\\u12"',
        b'"\\ud800"',
        b'"\\ude00\\ud83d"',
        b'{"\\ud800":1}',
        b"\xff",
        b'"\xed\xa0\x80"',
        b'"\xc0\xaf"',
        b"\xef\xbb\xbf{}",
        b"{\x00}",
        b"\xa0{}",
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b"[" + b"9" * 5000 + b",NaN]",  # another parser reads integers of this length
        b"[" + b"9" * 5000 + b",01]",
        b"[" + b"9" * 5000 + b',"\\ud800"]',
        b"[" + b"9" * 5000 + b',"\x01"]',
        b"[" + b"9" * 5000 + b"," + b"[" * 100_000,
        b"\xef\xbb\xbf" + b"9" * 5000,
    ],
)
def test_not_json(text: bytes) -> None:
    with pytest.raises(NotJsonError):
        parse(text)
    with pytest.raises(ValueError):  # noqa: PT011 - msgspec's errors and Unicode's are ValueErrors
        decode_json(text)


def test_the_last_of_repeated_members_counts() -> None:
    assert decode_json(b'{"a":{"b":1},"a":{"c":2}}') == {"a": {"c": 2}}


def test_numbers_kept_as_text_are_equal_if_the_texts_are() -> None:
    assert Literal("1") == Literal("1")
    assert Literal("1") != Literal("2")
    assert len({Literal("1"), Literal("1")}) == 1


def test_an_object_that_is_no_json_value_has_no_canonical_form() -> None:
    with pytest.raises(TypeError, match="not a JSON value: object"):
        encode_canonical([object()])
