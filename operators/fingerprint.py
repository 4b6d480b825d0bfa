"""Fingerprints: the settings that a state was made with, and whether they have changed.

A fingerprint maps variables to texts; `-` stands for a setting that has no effect beside the
others (flows/settings/fingerprint.py).  An entry that a stored fingerprint lacks is not
compared: the version that wrote it did not know that entry.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from operators.errors import StateError
from operators.keys.combination import Combination
from operators.keys.paths import CONTENT, PathsError, parse_keys, resolve_shard

NO_EFFECT = "-"
_BROKERS = "DEDUP_BROKERS"
_CONTENT_IGNORE = "DEDUP_CONTENT_IGNORE"
_INPUT_TOPIC = "DEDUP_INPUT_TOPIC"
_KEYS = "DEDUP_KEYS"
_SHARD_BY = "DEDUP_SHARD_BY"
_SIMILARITY = "DEDUP_SIMILARITY"
_STATE = "DEDUP_STATE"
# Texts that are not values of the setting, and the words that a user knows them by.
_READABLE: dict[str, dict[Any, str]] = {
    _STATE: {"keys": "memory or rocksdb"},
    _SIMILARITY: {NO_EFFECT: "unset"},
}
_IT_CHANGES = "it changes what the state means. Set it"
_NEW = "to start from nothing."


class ChangedSetting(NamedTuple):
    """A setting, and its values as a user knows them."""

    name: str
    before: object
    now: object


def check_fingerprint(stored: dict[str, str], current: dict[str, str], where: str) -> None:
    """Raise StateError if settings have changed since the stored fingerprint was made.

    The error names the settings that the user changed, not those that follow from them.
    where: what holds the stored fingerprint, for the message.
    """
    if _KEYS in current and _KEYS not in stored:
        msg = (
            f"{where} does not say which settings it was made with: it is damaged or another's. "
            f"Choose another DEDUP_APP_ID (and recovery directory) {_NEW}"
        )
        raise StateError(msg)
    if unknown := sorted(stored.keys() - current.keys()):
        msg = (
            f"{where} was made with settings that this version does not know: "
            f"{', '.join(unknown)}. Run the version that made it."
        )
        raise StateError(msg)
    changed = changed_settings(stored, current)
    if not changed:
        return
    first, *others = changed
    was = f"{first.name} was {first.before} when {where} was made and is {first.now} now"
    was += "".join(f", {name} was {before} and is {now}" for name, before, now in others)
    what = "they change what the state means. Set them" if others else _IT_CHANGES
    msg = f"{was}: {what} back, or choose another DEDUP_APP_ID (and recovery directory) {_NEW}"
    raise StateError(msg)


def changed_settings(stored: Mapping[str, Any], current: Mapping[str, Any]) -> list[ChangedSetting]:
    """Return the settings that the user changed between two fingerprints, in the second's order.

    Leaves out those that follow from others: a setting that only starts or stops having an
    effect, and a shard that follows from the other settings, before and now.
    """
    differing = [
        ChangedSetting(name, stored[name], now)
        for name, now in current.items()
        if name in stored and stored[name] != now
    ]
    causes = []
    for name, before, now in differing:
        on_or_off = NO_EFFECT in (before, now)
        if name == _INPUT_TOPIC and on_or_off:
            # Without brokers there are no topics.
            brokers = ["unset" if topic == NO_EFFECT else "set" for topic in (before, now)]
            causes.append(ChangedSetting(_BROKERS, *brokers))
        elif name in _READABLE:
            words = _READABLE[name]
            causes.append(ChangedSetting(name, words.get(before, before), words.get(now, now)))
        elif not on_or_off and (
            name != _SHARD_BY or (before, now) != (default_shard(stored), default_shard(current))
        ):
            causes.append(ChangedSetting(name, before, now))
    return causes or differing


def default_shard(fingerprint: Mapping[str, Any]) -> str | None:
    """Return the shard that follows from the other settings, as text; None if none does."""
    if fingerprint.get(_SIMILARITY, NO_EFFECT) != NO_EFFECT:
        return "[]"
    ignored = fingerprint.get(_CONTENT_IGNORE, NO_EFFECT)
    try:
        keys = parse_keys(json.loads(fingerprint[_KEYS]))
        shard = resolve_shard(keys, () if ignored == NO_EFFECT else json.loads(ignored), None)
    except (KeyError, json.JSONDecodeError, PathsError):
        return None
    return shard_text(shard)


def shard_text(shard: Combination) -> str:
    """Return the text of a shard in a fingerprint."""
    return json.dumps(CONTENT if shard.content else list(shard.fields), separators=(",", ":"))
