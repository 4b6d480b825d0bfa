"""What is wrong with an event, in words."""

from operators.decode.events import explain
from tests.decoding import EVENT, decode, event
from tests.strategies import NOW


def test_what_is_wrong_is_said_in_words() -> None:
    assert explain({"event_id": 1, "user_id": "u", "event_type": "t", "timestamp": 1}) == (
        "event_id: input should be a valid string; data: field required"
    )
    values = [event(timestamp='"soon"'), event(timestamp="1e999"), event(timestamp=repr(NOW * 2))]
    messages = [message for _, message in decode(EVENT, *values).decided.invalid.values()]
    assert messages == [
        "timestamp: 'soon' is not an RFC 3339 date-time",
        "timestamp: not a finite number of epoch seconds nor an RFC 3339 date-time",
        "event time is 1700000000 s ahead of the clock, more than max_future_seconds",
    ]
