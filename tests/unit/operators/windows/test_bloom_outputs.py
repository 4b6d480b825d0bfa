"""DEDUP_STATE=bloom from settings to what is written: a repeat is probable, and has no original."""

import json

import numpy as np
import pytest

from flows.assembly.specs import new_store
from operators.encode.encoder import json_encoder, kafka_encoder
from operators.monitoring.metrics import Metrics
from operators.monitoring.observer import Observer
from operators.split import parts_of
from operators.verdicts import DUPLICATE
from operators.windows.bloom import BloomStore
from tests.cases.settings import load
from tests.model import Record, Settings
from tests.pipeline import Pipeline
from tests.strategies import NOW, Step


@pytest.fixture
def pipeline() -> Pipeline:
    settings = load(state="bloom", max_keys="4000", bloom_error="0.01")
    model = Settings(keys=(("id",),), time="t", schema="open")
    made = Pipeline(model, 1, lanes=1, make_store=lambda _: new_store(settings))
    value = json.dumps({"id": "a", "t": NOW}).encode()
    made.feed([Step(Record(0, offset, None, value), NOW) for offset in range(3)])
    return made


def test_repeats_are_said_to_be_probable(pipeline: Pipeline) -> None:
    (part,) = [
        part for batch in pipeline.batches for part in parts_of(batch) if part.verdict == DUPLICATE
    ]
    lines = [json.loads(line or b"") for line in json_encoder(["id"])(part).records.values]
    assert [line.pop("offset") for line in lines] == [1, 2]
    for line in lines:
        assert line.pop("value")
        assert line == {"verdict": "duplicate", "matched": "id", "probable": True}
    for headers in kafka_encoder(["id"])(part).records.headers or ():
        names = dict(headers or ())
        assert (names["dedup.matched"], names["dedup.probable"]) == (b"id", b"true")
        assert "dedup.original" not in names


def test_the_rate_is_a_metric(pipeline: Pipeline) -> None:
    metrics = Metrics()
    observer = Observer(metrics)
    name = "dedup_bloom_false_positive_rate"
    assert metrics.registry.get_sample_value(name) == 0
    (lane,) = pipeline.opened
    hashes = np.random.default_rng(1).integers(0, 2**64, (990, 1, 2), dtype=np.uint64)
    lane.store.decide(hashes, np.full(990, NOW), np.arange(990))
    observer.decided(lane)
    assert metrics.registry.get_sample_value(name) == pytest.approx(0.01, rel=0.25)


def test_each_window_kind_of_bloom() -> None:
    forever = new_store(load(state="bloom", window="forever"))
    assert isinstance(forever, BloomStore)
    assert not forever.is_expired(0.0, 1e300)
    assert new_store(load(state="bloom")).is_expired(0.0, 1e300)
