"""What holds for every format: lanes, the running maximum, the reason `future`."""

from dataclasses import replace

import numpy as np
import pytest

from operators.batches import Batch, Records
from operators.coalesce import coalesce
from operators.decode.decoder import Decoder
from tests.builders import span_of
from tests.decoding import EVENT, OPEN, batch_of, both_ways, decode, event, reasons, spec_of
from tests.strategies import NOW


def test_records_with_one_key_but_other_shards_are_no_duplicates() -> None:
    spec = spec_of(["event_id"], ["event_type"], shard=("user_id",))
    decoded = decode(spec, event(), event(user_id='"v"'), event(timestamp="2"))
    first, other, again = decoded.decided.hashes
    assert (first == again).all()
    assert not (first == other).any()
    assert decoded.lanes[0] == decoded.lanes[2]


@pytest.mark.parametrize("shard", [None, (), ("user_id",), ("@key",)])
def test_lanes_depend_on_the_record_alone(shard: tuple[str, ...] | None) -> None:
    spec = spec_of(["user_id", "event_id"], shard=shard, lanes=5)
    values = [event(event_id=f'"{n}"', user_id=f'"{n % 7}"') for n in range(50)]
    keys = [b"%d" % (n % 3) for n in range(50)]
    records = Records(np.arange(100, 150), [*values, None], keys=[*keys, None])
    records.offsets = np.arange(100, 151)
    whole = both_ways(spec, batch_of(records))
    # Without a key the offset chooses the lane, so that the record is fenced like others.
    assert whole.lanes[50] == 150 % 5
    for row in range(50):
        single = Records(records.offsets[row : row + 1], [values[row]], keys=[keys[row]])
        assert Decoder(spec)(batch_of(single)).lanes[0] == whole.lanes[row]
    if shard == ():
        assert set(whole.lanes[:50].tolist()) == {0}


def test_a_record_from_the_future_keeps_its_lane() -> None:
    spec = spec_of(["event_id"], lanes=7)
    for name in range(20):
        value = event(event_id=f'"{name}"', timestamp="5000")
        records = Records(np.array([3]), [value])
        early = both_ways(replace(spec, max_future_seconds=0), batch_of(records, read_at=4000))
        late = both_ways(replace(spec, max_future_seconds=0), batch_of(records, read_at=5000))
        assert reasons(early) == {0: "future"}
        assert not late.decided.invalid
        assert early.lanes == late.lanes


def test_the_running_maximum_counts_valid_records_before_each() -> None:
    values = [event(timestamp=text) for text in ("5", '"x"', "3", repr(NOW * 2), "7", "-1", "7.5")]
    decoded = decode(EVENT, *values)
    assert decoded.decided.running_max.tolist() == [-np.inf, 5, 5, 5, 5, 7, 7]
    assert decoded.max_event_times == [7.5]
    assert decode(EVENT).max_event_times == [-np.inf]
    assert decode(EVENT, None, b"[]").max_event_times == [-np.inf]


def test_each_span_has_its_own_running_maximum_and_clock() -> None:
    times: tuple[list[int], ...] = ([5, 3, 9], [], [4, 9, 6])
    batches = [
        Batch.of(
            span_of(partition, 0, len(own), read_at),
            Records(np.arange(len(own)), [event(timestamp=str(time)) for time in own]),
        )
        for partition, (own, read_at) in enumerate(zip(times, (8, 8, 20), strict=True))
    ]
    [joined] = coalesce(batches, 1)
    decoded = Decoder(replace(EVENT, max_future_seconds=0))(joined)
    assert reasons(decoded) == {2: "future"}
    assert decoded.decided.running_max.tolist() == [-np.inf, 5, 5, -np.inf, 4, 9]
    assert decoded.max_event_times == [5, -np.inf, 9]


def test_types_are_kept_for_statistics() -> None:
    spec = replace(EVENT, types=True)
    values = [event(), event(event_type='"é"'), event(user_id="1"), event(event_type="1"), None]
    assert decode(spec, *values).decided.types.tolist() == [  # type: ignore[union-attr]
        "click",
        "é",
        "click",
        "",
        "",
    ]
    open_spec = replace(OPEN, types=True)
    values = [b'{"id":1,"at":1}', b'{"id":1,"at":1,"event_type":"a"}', b'{"event_type":"b"}']
    assert decode(open_spec, *values).decided.types.tolist() == ["", "a", "b"]  # type: ignore[union-attr]
