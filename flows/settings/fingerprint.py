"""The settings that decide what state means."""

import json

from flows.settings.model import Settings
from flows.settings.sources import variable
from operators.fingerprint import NO_EFFECT, shard_text
from operators.windows.kinds import KINDS


def fingerprint(settings: Settings) -> dict[str, str]:
    """Return the settings that change what stored state means, each as a canonical text.

    By variable; NO_EFFECT where a setting has no effect beside the others.  State of
    one fingerprint must not be read under another.
    """
    shown = settings.effective()
    similar = settings.similarity is not None
    content = settings.shard.content or any(key.content for key in settings.keys)
    has_effect = {
        # Offsets mean nothing in another topic: its records would count as answered.
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
    prints = {
        variable(name): json.dumps(shown[name], separators=(",", ":")) if effect else NO_EFFECT
        for name, effect in has_effect.items()
    }
    prints[variable("shard_by")] = shard_text(settings.shard)
    # A filter holds no keys from which another kind of state could be made.
    prints[variable("state")] = "bloom" if settings.state == "bloom" else "keys"
    return prints
