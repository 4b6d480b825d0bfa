"""The parts of the embedded mode.  Integration tests start those of Kafka."""

from pathlib import Path

import pytest

from connectors.files.sink import LinesSink
from connectors.files.source import LinesSource
from connectors.files.statistics_sink import StatsLinesSink
from flows.assembly.parts import parts_for
from flows.launch import read_launch
from operators.errors import SettingsError
from operators.monitoring.metrics import Metrics
from operators.monitoring.observer import Observer
from operators.statistics.windowed import StatisticsSettings
from tests.cases.settings import load

LAUNCH = read_launch([], {})


@pytest.fixture
def observer() -> Observer:
    return Observer(Metrics())


def test_without_brokers_records_go_from_file_to_files(observer: Observer, tmp_path: Path) -> None:
    settings = load(input_file=str(tmp_path / "in.jsonl"), output_dir=str(tmp_path / "out"))
    parts = parts_for(settings, LAUNCH, observer)

    assert isinstance(parts.source, LinesSource)
    assert isinstance(parts.sink, LinesSink)
    assert parts.statistics is None


def test_statistics_are_a_part_if_they_are_set(observer: Observer, tmp_path: Path) -> None:
    settings = load(output_dir=str(tmp_path), stats_topic="any", stats_seconds="5", lanes="3")
    statistics = parts_for(settings, LAUNCH, observer).statistics

    assert statistics is not None
    assert statistics.settings == StatisticsSettings(5.0, 3)
    assert isinstance(statistics.sink, StatsLinesSink)


def test_the_observer_hears_of_each_lane_that_opens(observer: Observer) -> None:
    parts = parts_for(load(), LAUNCH, observer)
    parts.open_lane(2, None)
    parts.open_lane(0, None)

    assert observer.restored_keys == {2: 0, 0: 0}


def test_stdin_cannot_be_resumed(observer: Observer) -> None:
    with pytest.raises(SettingsError, match=r"DEDUP_INPUT_FILE=- cannot be used with -r"):
        parts_for(load(), LAUNCH, observer, "identity of the recovery directory")
