"""Deltas of random keys, for tests of the changelog's records."""

from typing import Final

import numpy as np

from operators.changes import Delta

MAX_RECORD_BYTES: Final = 1024 * 1024
"""max.message.bytes of connectors/exactly_once/changelog_topic.py"""


def random_delta(size: int, seed: int, *, sessions: bool) -> Delta:
    """Build a delta of `size` random keys, with first times if they are keys of sessions."""
    draw = np.random.default_rng(seed)
    return Delta(
        draw.integers(0, 2**64 - 1, (size, 2), np.uint64, endpoint=True),
        draw.random(size) * 2e9,
        draw.integers(0, 2**63 - 1, size, np.int64),
        draw.random(size) * 2e9 if sessions else None,
    )
