"""Settings whose fields no struct can hold."""

import pytest

from operators.decode.events import EventSpec
from operators.decode.json.fast_path import ColumnReader
from tests.decoding import decode, event, reasons, spec_of


@pytest.mark.parametrize(
    "spec, expected",
    [
        (spec_of(["event_id"], time="event_id"), {1: "schema"}),
        (spec_of(["event_id"], time="data"), {0: "time", 1: "schema"}),
        (spec_of(["id"], shard=(), time='quo"ted', schema="open"), {0: "key"}),
        (spec_of(["event_type.x"], time="id", schema="open", types=True), {0: "key"}),
    ],
)
def test_settings_that_only_one_by_one_takes(spec: EventSpec, expected: dict[int, str]) -> None:
    assert ColumnReader.of(spec) is None
    values = [
        event(event_id='"1970-01-01T00:00:01Z"'),
        rb'{"id":1,"quo\"ted":2,"event_type":{"x":1}}',
    ]
    assert reasons(decode(spec, *values)) == expected
