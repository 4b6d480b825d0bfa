"""What a state was made with, and whether it still means the same.

A fingerprint maps variables to texts, `-` for a setting that has no effect beside the others
(`flows.settings.model.fingerprint`).  An entry that what is stored lacks is not compared: the
version that wrote it did not know it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from operators.errors import StateError
from operators.keys.combination import Combination
from operators.keys.paths import CONTENT, PathsError, parse_keys, resolve_shard

NO_EFFECT = "-"
TOPIC_ID = "input topic id"
"""Kafka's id of the input topic, beside the settings; missing where brokers give none."""
_BROKERS = "DEDUP_BROKERS"
_CONTENT_IGNORE = "DEDUP_CONTENT_IGNORE"
_INPUT_TOPIC = "DEDUP_INPUT_TOPIC"
_KEYS = "DEDUP_KEYS"
_SHARD_BY = "DEDUP_SHARD_BY"
_SIMILARITY = "DEDUP_SIMILARITY"
_STATE = "DEDUP_STATE"
# Texts that are no value of the setting: what a user knows them by.
_READABLE: dict[str, dict[Any, str]] = {
    _STATE: {"keys": "memory or rocksdb"},
    _SIMILARITY: {NO_EFFECT: "unset"},
}
_IT_CHANGES = "it changes what the state means. Set it"
_NEW = "to start from nothing."


class ChangedSetting(NamedTuple):
    """A setting, and its values as a user may know them."""

    name: str
    before: object
    now: object


def check_fingerprint(stored: dict[str, str], wanted: dict[str, str], where: str) -> None:
    """Raise StateError that names the settings that changed since `stored` was made.

    Only those that the user changed, not those that follow from them.
    """
    if _KEYS in wanted and _KEYS not in stored:
        msg = (
            f"{where} does not say which settings it was made with: it is damaged or another's. "
            f"Choose another DEDUP_APP_ID (and recovery directory) {_NEW}"
        )
        raise StateError(msg)
    if unknown := sorted(stored.keys() - wanted.keys() - {TOPIC_ID}):
        msg = (
            f"{where} was made with settings that this version does not know: "
            f"{', '.join(unknown)}. Run the version that made it."
        )
        raise StateError(msg)
    changed = changed_settings(stored, wanted)
    if [name for name, *_ in changed] == [TOPIC_ID]:
        raise StateError(_created_again(stored, wanted, where))
    changed = [one for one in changed if one.name != TOPIC_ID]
    if not changed:
        return
    first, *others = changed
    was = f"{first.name} was {first.before} when {where} was made and is {first.now} now"
    was += "".join(f", {name} was {before} and is {now}" for name, before, now in others)
    what = "they change what the state means. Set them" if others else _IT_CHANGES
    msg = f"{was}: {what} back, or choose another DEDUP_APP_ID (and recovery directory) {_NEW}"
    raise StateError(msg)


def _created_again(stored: Mapping[str, str], wanted: Mapping[str, str], where: str) -> str:
    return (
        f"topic {json.loads(wanted[_INPUT_TOPIC])} was deleted and created again since {where} was "
        f"made (Kafka's id of it was {stored[TOPIC_ID]} and is {wanted[TOPIC_ID]}): the offsets "
        "that were read mean nothing in the new topic. This start reads nothing of it. To read "
        "it from its start, choose another DEDUP_APP_ID (and recovery directory); records that "
        "repeat those of the old topic are unique then."
    )


def changed_settings(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[ChangedSetting]:
    """Tell which settings the user changed between two fingerprints, in order of the second.

    Not those that follow from others: one that only begins or ends to have an effect, and a
    shard that is what the other settings make it, before and now.
    """
    differing = [
        ChangedSetting(name, stored[name], now)
        for name, now in wanted.items()
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
            name != _SHARD_BY or (before, now) != (default_shard(stored), default_shard(wanted))
        ):
            causes.append(ChangedSetting(name, before, now))
    return causes or differing


def default_shard(fingerprint: Mapping[str, Any]) -> str | None:
    """Return the shard that the other settings make, as text; None if they make none."""
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
    """A shard as a fingerprint has it."""
    return json.dumps(CONTENT if shard.content else list(shard.fields), separators=(",", ":"))
