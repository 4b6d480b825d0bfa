"""A fingerprint that differs is refused, with the setting that changed."""

import pytest

from operators.errors import StateError
from operators.fingerprint import TOPIC_ID, check_fingerprint

FINGERPRINT = {"DEDUP_KEYS": '[["event_id"]]', "DEDUP_WINDOW": "tumbling"}


def test_equal_fingerprints_are_accepted() -> None:
    check_fingerprint(FINGERPRINT, dict(FINGERPRINT), "it")


@pytest.mark.parametrize(
    "stored, message",
    [
        (FINGERPRINT | {"DEDUP_WINDOW": "session"}, "^DEDUP_WINDOW was session when it was made"),
        ({"DEDUP_WINDOW": FINGERPRINT["DEDUP_WINDOW"]}, "^it does not say which settings"),
        (FINGERPRINT | {"DEDUP_NEW": "1"}, "does not know: DEDUP_NEW. Run the version"),
    ],
)
def test_the_error_names_what_differs(stored: dict[str, str], message: str) -> None:
    with pytest.raises(StateError, match=message):
        check_fingerprint(stored, FINGERPRINT, "it")


def test_the_id_of_the_input_topic_is_compared_where_both_sides_have_one() -> None:
    settings = {"DEDUP_KEYS": '[["id"]]', "DEDUP_INPUT_TOPIC": '"orders"'}
    first, second = settings | {TOPIC_ID: "a"}, settings | {TOPIC_ID: "b"}
    for stored, current in ((first, first), (settings, first), (first, settings)):
        check_fingerprint(stored, current, "it")
    with pytest.raises(StateError, match="topic orders was deleted and created again since it"):
        check_fingerprint(first, second, "it")
    renamed = second | {"DEDUP_INPUT_TOPIC": '"payments"'}
    with pytest.raises(
        StateError, match=r'^DEDUP_INPUT_TOPIC was "orders" when .* "payments" now: '
    ):
        check_fingerprint(first, renamed, "it")
