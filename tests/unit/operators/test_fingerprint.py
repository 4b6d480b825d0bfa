"""A fingerprint that differs is refused, with the setting that changed."""

import pytest

from operators.errors import StateError
from operators.fingerprint import check_fingerprint

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
