"""An error too small for the keys was refused when the largest filter was made, not at start."""

import pytest

from flows.assembly.specs import new_store
from flows.settings.load import load_settings
from operators.errors import SettingsError

BLOOM = {"DEDUP_STATE": "bloom", "DEDUP_MAX_KEYS": "4000000000"}


def test_an_error_too_small_for_the_keys_is_refused_at_start() -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings({**BLOOM, "DEDUP_BLOOM_ERROR": "1e-12"})
    text = str(refused.value)
    assert text.startswith("DEDUP_BLOOM_ERROR=1e-12: is too small for DEDUP_MAX_KEYS: a Bloom ")
    assert "or raise DEDUP_LANES" in text
    assert "\n" not in text


@pytest.mark.parametrize("error", ["1e-3", "1e-6", "0.999"])
def test_other_errors_are_not(error: str) -> None:
    settings = load_settings({**BLOOM, "DEDUP_BLOOM_ERROR": error})
    assert len(new_store(settings)) == 0
