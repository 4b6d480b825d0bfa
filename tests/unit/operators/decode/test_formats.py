"""A format is a reader and one entry of a table: nothing else has to know it."""

from dataclasses import replace

import numpy as np
import pytest

from operators.batches import DecisionColumns, Records
from operators.decode import formats
from operators.decode.careful_path import RecordReader, Rejected
from operators.decode.decoder import Decoder
from operators.decode.events import EventSpec
from tests.decoding import batch_of, reasons, spec_of


class LinesReader:
    """Reads values of two lines, key and event time."""

    def __init__(self, spec: EventSpec) -> None:
        self._careful = RecordReader(spec, self._parse)

    def __call__(self, records: Records, columns: DecisionColumns) -> None:
        for row in range(len(records)):
            self._careful.fill(records, row, columns)

    @staticmethod
    def _parse(value: bytes) -> dict[str, object] | Rejected:
        id_, _, time = value.decode().partition("\n")
        return {"id": id_, "at": float(time)} if time else Rejected("format", "one line only")


def test_another_format_takes_a_reader_and_an_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(formats.FORMATS, "lines", LinesReader)
    spec = spec_of(["id"], time="at", schema="open")
    values = [b"a\n5", b"b", b"a\n7", None]
    decoded = Decoder(replace(spec, format="lines"))(batch_of(Records(np.arange(4), values)))
    assert reasons(decoded) == {1: "format", 3: "tombstone"}
    assert decoded.max_event_times == [7]
    json = [b'{"id":"a","at":5}']
    same = Decoder(spec)(batch_of(Records(np.arange(1), json)))
    assert (decoded.decided.hashes[[0, 2]] == same.decided.hashes[0]).all()
    assert decoded.lanes[0] == decoded.lanes[2] == same.lanes[0]
