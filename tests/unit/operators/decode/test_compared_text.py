"""The text that near duplicates are compared by."""

from dataclasses import replace

import pytest

from tests.decoding import EVENT, decode, event


@pytest.mark.parametrize(
    "one, other, text",
    [
        ('"a"', '"b"', "a\nb"),
        ('"a"', None, "a\n"),  # a missing field leaves its newline
        (None, '"a"', "\na"),
        (None, None, "\n"),
        ('""', '" "', "\n "),
        (r'" a \t\u00a0\r\nb\u3000"', "1", " a b \n1"),
        (r'"a\u001cb\u001f\u200bc"', "null", "a\x1cb\x1f\u200bc\nnull"),  # no white space
        (r'"e\u0301A"', '{"b":1.0,"a":"e\u0301"}', 'éA\n{"a":"é","b":1}'),
    ],
)
def test_text_for_near_duplicates(one: str | None, other: str | None, text: str) -> None:
    fields = {name: value for name, value in (("one", one), ("other", other)) if value is not None}
    spec = replace(EVENT, text_fields=("one", "other"))
    assert decode(spec, event(**fields)).decided.texts.tolist() == [text]  # type: ignore[union-attr]
