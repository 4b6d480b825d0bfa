"""`dedup config`: what it shows can be read back."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
import yaml

from flows.cli import config
from flows.settings.load import load_settings
from operators.errors import SettingsError


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    config.add_arguments(parser)
    return config.run(parser.parse_args(arguments))


def test_yaml_is_what_a_file_would_say(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("DEDUP_BROKERS", "kafka-1:9092")
    monkeypatch.setenv("DEDUP_KEYS", '[["user_id","@header.a"],["user_id","größe"]]')
    monkeypatch.setenv("DEDUP_BLOOM_ERROR", "1e-6")
    monkeypatch.setenv("DEDUP_KAFKA", '{"security.protocol":"SSL"}')
    assert run() == 0
    text = capsys.readouterr().out
    assert "keys:\n- [user_id, '@header.a']\n- [user_id, größe]\n" in text
    assert "\nshard_by: [user_id]\n" in text
    assert "\nwindow_seconds: 3600\n" in text
    file = tmp_path / "shown.yaml"
    file.write_text(text, "utf-8")
    read_back = load_settings({"DEDUP_CONFIG": str(file)})
    assert read_back.effective() == load_settings().effective()


def test_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("DEDUP_LANES", "6")
    assert run("--json") == 0
    assert json.loads(capsys.readouterr().out) == load_settings().effective()


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_secrets_are_masked(
    arguments: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DEDUP_KAFKA", '{"sasl.username":"me","sasl.password":"s3cret"}')
    assert run(*arguments) == 0
    text = capsys.readouterr().out
    assert "s3cret" not in text
    assert yaml.safe_load(text)["kafka"] == {"sasl.username": "me", "sasl.password": "***"}


def test_wrong_settings_are_an_error_for_the_command_to_print(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DEDUP_LANES", "many")
    with pytest.raises(SettingsError, match="DEDUP_LANES=many: must be a whole number"):
        run()
