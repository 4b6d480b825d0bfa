"""The model's output records, and what strategies draw."""

import json
import re
import sys

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests import strategies
from tests.model import (
    Free,
    Model,
    Settings,
    Verdict,
    output_headers,
    output_line,
    rfc3339,
)
from tests.model.builders import record


@pytest.mark.parametrize(
    "verdict, added",
    [
        (Verdict("unique"), {}),
        (
            Verdict("duplicate", matched="a,b", original=(2, 30)),
            {"dedup.matched": b"a,b", "dedup.original": b"2:30"},
        ),
        (
            Verdict("duplicate", matched="similar", original=(2, 30), similarity=0.75),
            {
                "dedup.matched": b"similar",
                "dedup.original": b"2:30",
                "dedup.similarity": b"0.75",
            },
        ),
        (Verdict("late", late_by=301.0), {"dedup.reason": b"301"}),
        (
            Verdict("invalid", reason="json"),
            {
                "dedup.reason": b"json",
                "__connect.errors.topic": b"raw",
                "__connect.errors.partition": b"1",
                "__connect.errors.offset": b"7",
                "__connect.errors.exception.class.name": Free.TEXT,
                "__connect.errors.exception.message": Free.TEXT,
            },
        ),
    ],
)
def test_output_headers(verdict: Verdict, added: dict[str, object]) -> None:
    own: list[tuple[str, bytes | None]] = [("h", None), ("h", b"\xff")]
    place = {"dedup.topic": b"raw", "dedup.partition": b"1", "dedup.offset": b"7"}
    if verdict.kind != "unique":
        added = {"dedup.verdict": verdict.kind.encode(), **place, **added}
    found = output_headers(record({}, 1, 7, headers=own), verdict, Settings(), "raw")
    assert found[:2] == own
    assert dict(found[2:]) == added
    assert len(found) == 2 + len(added)


def test_output_line() -> None:
    assert output_line(record(b"{\r", offset=3), Verdict("invalid", reason="json")) == {
        "verdict": "invalid",
        "offset": 3,
        "reason": "json",
        "value": "{\r",
    }
    assert output_line(record(b"\xff"), Verdict("late", late_by=2.5)) == {
        "verdict": "late",
        "offset": 0,
        "reason": 2.5,
        "value_base64": "/w==",
    }
    with pytest.raises(ValueError, match="unique"):
        output_line(record(b"{}"), Verdict("unique"))


@hypothesis_settings(max_examples=100, deadline=None)
@given(st.data())
def test_every_bad_record_has_its_reason(data: st.DataObject) -> None:
    of = data.draw(strategies.settings())
    reason = data.draw(st.sampled_from(strategies.reasons(of)))
    bad = data.draw(strategies.bad_records(of, reason))
    assert Model(of, {0}).decide(bad, now=strategies.NOW) == Verdict("invalid", reason=reason)


@hypothesis_settings(max_examples=50, deadline=None)
@given(st.data())
def test_good_streams_have_good_records(data: st.DataObject) -> None:
    of = data.draw(strategies.settings(similar=data.draw(st.booleans())))
    stream = data.draw(strategies.streams(of, bad=False, idle=True))
    model = Model(stream.settings, stream.partitions)
    places = set()
    for step in stream.steps:
        verdict = model.decide(step.record, step.now, step.idle)
        assert verdict.reason in {None, "future"}
        assert verdict.original is None or verdict.original in places
        if verdict.kind == "unique":
            places.add((step.record.partition, step.record.offset))


@given(st.floats(-1e11, 1e11) | st.floats(allow_nan=False, allow_infinity=False), st.data())
def test_time_texts_are_exact(time: float, data: st.DataObject) -> None:
    value = json.loads(data.draw(strategies.time_texts(time)))
    assert (rfc3339(value) if isinstance(value, str) else float(value)) == time


def test_the_model_imports_nothing_of_ours() -> None:
    ours = {"flows", "operators", "connectors"}
    modules = [
        module
        for name, module in sys.modules.items()
        if re.fullmatch(r"tests\.model(\.(?!test_|builders)\w+)?", name)
    ]
    origins = {
        getattr(thing, "__module__", "") for module in modules for thing in vars(module).values()
    }
    assert not {str(origin).split(".")[0] for origin in origins} & ours
