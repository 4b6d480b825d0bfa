"""What a state was made with, and whether it still means the same."""

from __future__ import annotations

import json

from operators.errors import StateError

INPUT_TOPIC = "DEDUP_INPUT_TOPIC"
TOPIC_ID = "input topic id"
"""Kafka's id of the input topic, beside the settings; missing where brokers give none."""


def check_fingerprint(stored: dict[str, str], wanted: dict[str, str], where: str) -> None:
    """Raise StateError that names the first setting that changed since `stored` was made."""
    _check_topic_id(stored, wanted, where)
    for name in sorted({*stored, *wanted} - {TOPIC_ID}):
        if stored.get(name) != wanted.get(name):
            msg = (
                f"{name} was {stored.get(name)} when {where} was made and is {wanted.get(name)} "
                "now: it changes what the state means. Set it back, or choose another "
                "DEDUP_APP_ID (and recovery directory) to begin anew."
            )
            raise StateError(msg)


def _check_topic_id(stored: dict[str, str], wanted: dict[str, str], where: str) -> None:
    """Raise StateError if the input topic was deleted and another of its name was created."""
    before, now = stored.get(TOPIC_ID), wanted.get(TOPIC_ID)
    if stored.get(INPUT_TOPIC) != wanted.get(INPUT_TOPIC) or None in {before, now}:
        return
    if before != now:
        msg = (
            f"topic {json.loads(wanted[INPUT_TOPIC])} was deleted and created again since {where} "
            f"was made (Kafka's id of it was {before} and is {now}): the offsets that were read "
            "mean nothing in the new topic. Nothing of it was read. To read it from its start, "
            "choose another DEDUP_APP_ID (and recovery directory); records that repeat those of "
            "the old topic are unique then."
        )
        raise StateError(msg)
