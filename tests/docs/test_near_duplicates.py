"""The numbers in the guide's page on near duplicates."""

import re
from dataclasses import dataclass

import numpy as np
import pytest

from flows.assembly.specs import event_spec, near_spec
from flows.settings.load import load_settings
from operators.batches import FILE, Batch, Records, Span
from operators.decode.decoder import Decoder
from operators.lanes.cut import cut
from operators.lanes.lane import Lane
from operators.lanes.spec import LaneSpec
from operators.similarity import buckets, search
from operators.similarity.near_duplicates import NearSpec
from operators.verdicts import VERDICTS
from operators.windows.tumbling import TumblingStore
from tests.docs.guide import GUIDE, rows
from tests.model import Settings
from tests.model.similarity import similarity

PAGE = "near-duplicates.md"
TEXT = (GUIDE / PAGE).read_text("utf-8")

_WORDS = re.findall(
    r"\w+",
    """amber birch cedar delta ember fjord grove heath inlet jetty knoll larch marsh north orbit
    pearl quartz ridge stone thorn umbra vale willow yarrow zephyr""",
)


def _sentences() -> str:
    """A thousand characters of sentences that do not repeat each other."""
    text = ""
    for number in range(20):
        one, two, three, four, five = (_WORDS[(number * k + k * 3) % 25] for k in range(1, 6))
        text += (
            f"Shipment {number * 37 + 11} of {one} boxes from pier {two} goes by {three} road to "
            f"{four} and comes back on {five}. "
        )
    return text[:1000]


_QUOTED = re.search(r"The first is `(.+?)`, the second `(.+?)`, the third eleven", TEXT)
assert _QUOTED is not None
TEXTS = {"20": _QUOTED[1], "100": _QUOTED[2], "1,000": _sentences()}


def changed(text: str, change: str) -> str:
    middle = len(text) // 2
    if change.startswith("one character replaced"):
        return text[:middle] + "#" + text[middle + 1 :]
    if change.startswith("one character inserted"):
        return text[:middle] + "#" + text[middle:]
    if change.startswith("three characters replaced"):
        letters = list(text)
        for quarter in (1, 2, 3):
            letters[len(text) * quarter // 4] = "#"
        return "".join(letters)
    assert change == "second and third word swapped"
    first, second, third, *rest = text.split(" ")
    return " ".join([first, third, second, *rest])


def test_the_texts_are_as_long_as_it_says() -> None:
    assert [len(text) for text in TEXTS.values()] == [20, 100, 1000]
    assert TEXTS["1,000"].count(". ") == 10  # and the eleventh


_HEADER = "| change | characters | `jaccard`, `3c` | `jaccard`, `2w` | `levenshtein` |"


@pytest.mark.parametrize("row", rows(PAGE, _HEADER))
def test_similarities(row: tuple[str, ...]) -> None:
    change, characters, *cells = row
    text = TEXTS[characters]
    for cell, (metric, shingle) in zip(
        cells, [("jaccard", "3c"), ("jaccard", "2w"), ("levenshtein", "3c")], strict=True
    ):
        settings = Settings(similarity=0.9, similarity_metric=metric, shingle=shingle)  # type: ignore[arg-type]
        assert f"{similarity(text, changed(text, change), settings):.3f}" == cell


_ALLOWED = (
    "| characters | `jaccard`, `3c`, at 0.95 | `levenshtein` at 0.95 | `jaccard`, `3c`, at 0.8 "
    "| `levenshtein` at 0.8 |"
)


@pytest.mark.parametrize("row", rows(PAGE, _ALLOWED))
def test_replaced_characters(row: tuple[str, ...]) -> None:
    size = int(row[0].replace(",", ""))
    # A replaced character spoils three shingles, and makes three others.
    replaceable = [
        most(lambda count, limit=limit: (size - 2 - 3 * count) / (size - 2 + 3 * count) >= limit)
        if jaccard
        else most(lambda count, limit=limit: 1 - count / size >= limit)
        for limit in (0.95, 0.8)
        for jaccard in (True, False)
    ]
    assert replaceable == [int(cell) for cell in row[1:]]


def most(fits: object) -> int:
    assert callable(fits)
    return max(count for count in range(1000) if fits(count))


def test_the_objects_that_are_too_alike() -> None:
    first, second = re.findall(r"`(\{.price.+?\})`", TEXT)
    settings = Settings(similarity=0.9, similarity_metric="levenshtein")
    assert f"{similarity(first, second, settings):.3f}" == "0.958"
    assert "0.958 alike by `levenshtein`" in TEXT


@dataclass(frozen=True)
class _Shard:
    value: str
    column: int


@pytest.mark.parametrize("shard", [_Shard("[]", 2), _Shard('["user_id"]', 3)], ids=str)
def test_shards(shard: _Shard) -> None:
    table = rows(PAGE, '| `user_id` | `data.text` | `[]` | `["user_id"]` |')
    settings = load_settings(
        {
            "DEDUP_SIMILARITY": "0.9",
            "DEDUP_SIMILARITY_METRIC": "levenshtein",
            "DEDUP_SIMILARITY_FIELDS": '["data.text"]',
            "DEDUP_SHARD_BY": shard.value,
            "DEDUP_LANES": "1",
        }
    )
    lane = Lane(
        0, LaneSpec(lambda: TumblingStore(3600.0), 300.0, 30.0, {}, near=near_spec(settings))
    )
    values = [
        f'{{"event_id":"{number}","user_id":"{user}","event_type":"review","timestamp":{number},'
        f'"data":{{"text":"{text}"}}}}'.encode()
        for number, (user, text, *_) in enumerate(table)
    ]
    records = Records(np.arange(len(values)), values)
    (slice_,) = cut(Decoder(event_spec(settings))(Batch.of(Span(FILE, 0, 4, 0.0), records)), 1)
    verdicts = [VERDICTS[code] for code in lane.decide(slice_).verdicts.tolist()]
    assert verdicts == [row[shard.column] for row in table]


_MEMORY = "| characters | `jaccard`, 0.95 | `levenshtein`, 0.95 |"


@pytest.mark.parametrize("row", rows(PAGE, _MEMORY))
def test_bytes_a_record(row: tuple[str, ...]) -> None:
    size = int(row[0].replace(",", ""))
    draw = np.random.default_rng(1)
    texts = ["".join(letters) for letters in draw.choice(list("abcdefghij klmn"), (3000, size))]
    for cell, metric in zip(row[1:], ["jaccard", "levenshtein"], strict=True):
        index = NearSpec(0.95, metric, "3c", 300.0, 10**9, one_shard=True).index()
        for piece in buckets.chunks(texts):
            rows_ = np.arange(piece.start, piece.stop)
            search_ = index.search(
                texts[piece], rows_ * 0.01, np.zeros((len(rows_), 2), np.uint64), rows_
            )
            for place in range(len(rows_)):
                search_.keep(place)
            index.add(search_)
        said = int(cell.removesuffix(" bytes").replace(",", ""))
        assert index.size_bytes() / len(index) == pytest.approx(said, rel=0.08)


def test_caps() -> None:
    assert f"{search.MAX_CANDIDATES:,} candidates" in TEXT
    assert f"more than {buckets.MAX_TEXT_LENGTH:,} characters" in TEXT
