"""Settings as tests write them, and the form that every refusal must have."""

from __future__ import annotations

import re

import pytest

from flows.settings.load import load_settings
from flows.settings.model import Settings
from operators.errors import SettingsError

KAFKA = {"DEDUP_BROKERS": "kafka-1:9092"}


def load(**settings: str) -> Settings:
    return load_settings({f"DEDUP_{name.upper()}": value for name, value in settings.items()})


def refusal(environ: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(environ)
    message = str(caught.value)
    assert message.isprintable()
    assert message.splitlines() == [message]
    assert re.search("<[a-z_]+>", message) is None
    return message
