"""A DEDUP_MAX_KEYS that lanes cannot number in 32 bits was taken, and would have mixed keys up."""

import pytest

from flows.settings.load import load_settings
from tests.cases.settings import KAFKA, load, refusal

MOST = 2**31


@pytest.mark.parametrize("lanes", [1, 4])
def test_it_is_refused_in_one_line(lanes: int) -> None:
    environ = {"DEDUP_MAX_KEYS": str((MOST + 1) * lanes), "DEDUP_LANES": str(lanes)}

    message = refusal(environ)

    assert message.startswith(f"DEDUP_MAX_KEYS={(MOST + 1) * lanes}: must be at most {MOST} times ")
    assert "DEDUP_LANES" in message
    assert "DEDUP_STATE" in message


def test_as_many_as_lanes_can_number_are_not() -> None:
    assert load(max_keys=str(4 * MOST)).max_keys == 4 * MOST
    assert load(max_keys=str(8 * MOST), lanes="8").max_keys == 8 * MOST


@pytest.mark.parametrize("state", ["rocksdb", "bloom"])
def test_states_that_do_not_number_their_keys_may_have_more(state: str) -> None:
    environ = KAFKA | {"DEDUP_MAX_KEYS": str(8 * MOST), "DEDUP_STATE": state}
    assert load_settings(environ).max_keys == 8 * MOST
