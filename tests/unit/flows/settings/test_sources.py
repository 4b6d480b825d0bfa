"""Environment and file: which one wins, unknown names, unreadable files."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.settings.load import load_settings, make_settings
from flows.settings.model import FIELD_OF, Settings
from flows.settings.sources import RawSettings
from operators.errors import SettingsError
from operators.keys.combination import Combination
from tests.cases.settings import refusal


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "dedup.yaml"


def test_unknown_variables_are_refused_with_the_nearest_name() -> None:
    message = refusal({"DEDUP_LANE": "2", "DEDUP_lanes": "2", "DEDUP_XYZZY": "s3cret", "PATH": "x"})
    assert message == (
        "DEDUP_LANE is not a setting; did you mean DEDUP_LANES? | "
        "DEDUP_lanes is not a setting; did you mean DEDUP_LANES? | "
        "DEDUP_XYZZY is not a setting; leave it out"
    )


def test_an_unknown_name_hides_the_conflict_that_it_may_resolve() -> None:
    message = refusal({"DEDUP_BROKER": "a:1", "DEDUP_SHARD_BY": "@key", "DEDUP_LANES": "0"})
    assert message == (
        "DEDUP_BROKER is not a setting; did you mean DEDUP_BROKERS? | "
        "DEDUP_LANES=0: must be at least 1"
    )
    message = refusal({"DEDUP_BROKER": "a:1", "DEDUP_SHARD_BY": "@key"})
    assert message == "DEDUP_BROKER is not a setting; did you mean DEDUP_BROKERS?"


def test_variables_of_the_tests_and_of_kubernetes_are_not_settings() -> None:
    load_settings(
        {
            "DEDUP_TEST_BROKERS": "a:1",
            "DEDUP_PORT": "tcp://10.0.0.1:80",
            "DEDUP_SERVICE_HOST": "10.0.0.1",
            "DEDUP_SERVICE_PORT": "80",
            "DEDUP_SERVICE_PORT_HTTP": "80",
            "DEDUP_PORT_80_TCP": "tcp://10.0.0.1:80",
            "DEDUP_PORT_80_TCP_ADDR": "10.0.0.1",
            "DEDUP_API_SERVICE_HOST": "10.0.0.1",
            "DEDUP_API_PORT": "tcp://10.0.0.1:80",
        }
    )
    assert "did you mean DEDUP_METRICS_PORT?" in refusal({"DEDUP_METRIC_PORT": "9100"})


def test_several_problems_are_all_named() -> None:
    message = refusal({"DEDUP_LANES": "0", "DEDUP_WINDOW": "x", "DEDUP_LANE": "2"})
    assert message.count(" | ") == 2


def test_the_environment_of_the_process_is_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DEDUP_LANES", "7")
    assert load_settings().lanes == 7
    assert Settings().lanes == 4


def test_a_file_is_read_and_the_environment_wins(config: Path) -> None:
    config.write_text(
        "lanes: 8\n"
        "window: sliding\n"
        "window_seconds: 60.5\n"
        'keys: [[user_id, data.session], "content"]\n'
        "brokers: kafka-1:9092\n"
        "stop_at_end: yes\n"
        "schema: open\n"
        "similarity:\n"
        "kafka:\n"
        "  security.protocol: SSL\n"
        "  linger.ms: 5\n"
    )
    settings = load_settings({"DEDUP_CONFIG": str(config), "DEDUP_LANES": "2"})
    assert settings.lanes == 2
    assert settings.window == "sliding"
    assert settings.window_seconds == 60.5
    assert settings.keys == (
        Combination(("user_id", "data.session")),
        Combination((), content=True),
    )
    assert settings.brokers == "kafka-1:9092"
    assert settings.stop_at_end is True
    assert settings.event_schema == "open"
    assert settings.similarity is None
    assert settings.kafka == {"security.protocol": "SSL", "linger.ms": 5}


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "{}"])
def test_an_empty_file_changes_nothing(config: Path, text: str) -> None:
    config.write_text(text)
    assert load_settings({"DEDUP_CONFIG": str(config)}) == load_settings({})
    assert load_settings({"DEDUP_CONFIG": ""}) == load_settings({})


@pytest.mark.parametrize(
    "text, start, fix",
    [
        ("lanes: 0", "lanes=0 (in FILE): ", "must be at least 1"),
        ("lanes: yes", "lanes=true (in FILE): ", "must be a whole number"),
        ("lanes:", "lanes=null (in FILE): ", "has no value: write one, or leave it out"),
        ("lanes: &a [*a]", "lanes=[[...]] (in FILE): ", "must be a whole number"),
        ("window_seconds: true", "window_seconds=true (in FILE): ", "must be a number"),
        ("app_id: 0123", "app_id=83 (in FILE): ", "must be text, in quotes"),
        ("brokers: [a:1]", "brokers=['a:1'] (in FILE): ", "must be text, in quotes"),
        ("time: 5", "time=5 (in FILE): ", "must be text, in quotes"),
        ("output_dir: 5", "output_dir=5 (in FILE): ", "must be a path"),
        ("keys: event_id", "keys=event_id (in FILE): ", 'write it like [["event_id"]]'),
        ("keys: [[a], [b]]", "DEDUP_SHARD_BY: ", "the combinations of keys have no"),
        ("kafka: {acks: 0, sasl.password: s3cret}", "kafka (in FILE): ", "'acks'"),
        ("kafka: {1: s3cret}", "kafka (in FILE): ", "name it"),
        (
            "brokers: a:1\nlate_topic: x\ninput_topic: x",
            "late_topic=x (in FILE): ",
            " input_topic ",
        ),
        ("guarantee: twice", "guarantee=twice (in FILE): ", "must be 'exactly_once'"),
        ("lane: 3", "lane is not a setting; ", "did you mean lanes? (in FILE)"),
        ("DEDUP_LANES: 3", "DEDUP_LANES is not a setting; ", "did you mean lanes? (in FILE)"),
        ("config: other.yaml", "config is not a setting; ", "(in FILE)"),
        ("lanes: 3\nlanes: 4", "DEDUP_CONFIG=FILE: ", "line 2 ('lanes' comes twice)"),
        ("kafka: {a: s3cret, a: s3cret}", "DEDUP_CONFIG=FILE: ", "('a' comes twice)"),
        ("shard_by: @key", "DEDUP_CONFIG=FILE: ", "is not YAML in line 1"),
        ("a: [", "DEDUP_CONFIG=FILE: ", "is not YAML"),
        ("a: !!python/name:os.system x", "DEDUP_CONFIG=FILE: ", "is not YAML in line 1"),
        ("a: 2024-99-01", "DEDUP_CONFIG=FILE: ", "is not YAML"),
        ("a: \x07", "DEDUP_CONFIG=FILE: ", "special characters are not allowed"),
        ("[" * 5_000, "DEDUP_CONFIG=FILE: ", "is not YAML"),
        ("- lanes", "DEDUP_CONFIG=FILE: ", "as in lanes: 4"),
        ("lanes", "DEDUP_CONFIG=FILE: ", "as in lanes: 4"),
        ("1: 2", "DEDUP_CONFIG=FILE: ", "as in lanes: 4"),
    ],
)
def test_wrong_files_are_refused_in_one_line(config: Path, text: str, start: str, fix: str) -> None:
    config.write_text(text)
    message = refusal({"DEDUP_CONFIG": str(config)})
    assert message.startswith(start.replace("FILE", str(config)))
    assert fix.replace("FILE", str(config)) in message
    assert "s3cret" not in message


def test_files_that_cannot_be_read_are_refused(config: Path, tmp_path: Path) -> None:
    assert "No such file" in refusal({"DEDUP_CONFIG": str(config)})
    assert "Is a directory" in refusal({"DEDUP_CONFIG": str(tmp_path)})
    config.write_bytes(b"app_id: caf\xe9")
    assert "is not UTF-8 text" in refusal({"DEDUP_CONFIG": str(config)})


def test_a_wrong_value_in_the_environment_is_not_blamed_on_the_file(config: Path) -> None:
    config.write_text("lanes: 8")
    assert refusal({"DEDUP_CONFIG": str(config), "DEDUP_LANES": "x"}).startswith("DEDUP_LANES=x: ")


_YAML_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates(),
    lambda values: st.lists(values) | st.dictionaries(st.text() | st.integers(), values),
    max_leaves=5,
)


@given(name=st.sampled_from(list(FIELD_OF)), value=_YAML_VALUES)
def test_any_value_of_a_file_is_a_value_or_one_line(name: str, value: object) -> None:
    raw = RawSettings(values={name: value}, file="f", from_file=frozenset([name]), unknown=[])
    try:
        make_settings(raw)
    except SettingsError as error:
        lines = str(error).splitlines()
        assert len(lines) == 1
