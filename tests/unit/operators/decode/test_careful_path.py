"""What single records lack: a record key, a header, a timestamp, a field of the shard, a text."""

import numpy as np

from tests.decoding import decode, event, reasons, spec_of


def test_a_missing_record_key_header_or_timestamp() -> None:
    by_key = spec_of(["@key"], time="@record")
    decoded = decode(
        by_key, *[event()] * 4, keys=[b"", None, b"a", None], timestamps=np.array([1, 1, 0, 0])
    )
    assert reasons(decoded) == {1: "key", 2: "time", 3: "key"}
    assert decoded.decided.times[0] == 0.001
    assert reasons(decode(by_key, event())) == {0: "key"}
    by_header = spec_of(["@header.h", "event_id"])
    headers = [[("h", b"1")], None, [], [("h", b"1"), ("h", None)], [("H", b"1")]]
    assert list(reasons(decode(by_header, *[event()] * 5, headers=headers))) == [1, 2, 3, 4]


def test_a_shard_field_that_is_not_there_is_no_reason_and_equals_only_another() -> None:
    for spec in (
        spec_of(["event_id"], shard=("data.tenant",)),
        spec_of(["event_id"], shard=("@key",)),
        spec_of(["event_id"], shard=("@header.tenant",)),
    ):
        tenants = ["-", '"a"', "null", "-"]
        decoded = decode(
            spec,
            *[event(data=f'{{"tenant":{t}}}' if t != "-" else "{}") for t in tenants],
            keys=[None, b"a", b"", None],
            headers=[None, [("tenant", b"a")], [("tenant", b"")], [("tenant", None)]],
        )
        assert not decoded.decided.invalid
        hashes = [row.tobytes() for row in decoded.decided.hashes]
        assert hashes[0] == hashes[3]
        assert len(set(hashes)) == 3
        assert decoded.lanes[0] == decoded.lanes[3]


def test_what_is_refused_has_no_text() -> None:
    spec = spec_of(["event_id", "@key"], shard=(), text_fields=("user_id",))
    values = [event(), event(), event(timestamp='"x"'), event(user_id="1")]
    decoded = decode(spec, *values, keys=[b"k", None, b"k", b"k"])
    assert reasons(decoded) == {1: "key", 2: "time", 3: "schema"}
    assert decoded.decided.texts.tolist() == ["u", None, None, None]  # type: ignore[union-attr]
