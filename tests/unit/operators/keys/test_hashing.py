"""Columns of hashes, and seeds that keep kinds of content apart."""

from operators.keys.combination import hash_values
from operators.keys.hashing import SHARD, hash_bytes, hash_column, json_seed, rows_of, string_seed


def test_a_column_has_the_hashes_of_its_values() -> None:
    texts = ["a", "é", "😀", ""]
    column = hash_column(texts, string_seed(1))
    assert column.shape == (4, 2)
    assert [row.tobytes() for row in column] == [hash_values([text], 1) for text in texts]
    assert (column == hash_column([text.encode() for text in texts], string_seed(1))).all()


def test_rows_of_digests() -> None:
    digests = [bytes(range(16)), bytes(16)]
    assert [row.tobytes() for row in rows_of(digests)] == digests
    assert rows_of([]).shape == (0, 2)


def test_kinds_of_content_and_combinations_have_different_seeds() -> None:
    seeds = [seed(index) for seed in (string_seed, json_seed) for index in (0, 1, 2, SHARD)]
    assert len({hash_bytes(b"a", seed) for seed in seeds}) == len(seeds)
