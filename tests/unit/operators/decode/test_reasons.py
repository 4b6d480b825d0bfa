"""Reasons in words."""

from operators.decode.reasons import NO_RECORD_TIME, bad_time, no_field


def test_a_missing_field_is_named() -> None:
    assert no_field("data.a") == ("key", "data.a: field required by keys")
    assert no_field("@header.h") == ("key", "@header.h: field required by keys")
    assert no_field("@key") == ("key", "the record has no key (@key)")


def test_a_value_that_is_no_time() -> None:
    assert NO_RECORD_TIME[0] == "time"
    assert bad_time("at", "x" * 100) == ("time", f"at: '{'x' * 40}' is not an RFC 3339 date-time")
    values: list[object] = [True, None, [], float("inf")]
    for value in values:
        reason, message = bad_time("at", value)
        assert reason == "time"
        assert message.startswith("at: not a finite number of epoch seconds")
