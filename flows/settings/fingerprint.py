"""The settings that decide what stored state means."""

import json

from flows.settings.model import Settings
from flows.settings.sources import variable
from operators.fingerprint import NO_EFFECT, shard_text
from operators.windows.kinds import KINDS


def fingerprint(settings: Settings) -> dict[str, str]:
    """Return the settings that change what stored state means: variable → canonical text.

    The text is NO_EFFECT if the other settings switch a setting off.  State that was
    written under one fingerprint must not be read under another.
    """
    values = settings.effective()
    similar = settings.similarity is not None
    content = settings.shard.content or any(key.content for key in settings.keys)
    has_effect = {
        # With the offsets of another topic, records would count as answered.
        "input_topic": not settings.embedded,
        "keys": True,
        "shard_by": True,
        "lanes": True,
        "content_ignore": content,
        "time": True,
        "schema": True,
        "window": True,
        "window_seconds": not KINDS[settings.window].endless,
        "similarity": similar,
        "similarity_metric": similar,
        "similarity_shingle": similar and settings.similarity_metric == "jaccard",
        "similarity_fields": similar,
        "similarity_seconds": similar,
    }
    texts = {
        variable(name): json.dumps(values[name], separators=(",", ":")) if effect else NO_EFFECT
        for name, effect in has_effect.items()
    }
    texts[variable("shard_by")] = shard_text(settings.shard)
    # Memory and rocksdb hold the same keys; a Bloom filter holds none to convert.
    texts[variable("state")] = "bloom" if settings.state == "bloom" else "keys"
    return texts
