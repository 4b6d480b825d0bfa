"""The headers that an output record has on top of those it came with."""

from __future__ import annotations

from operators.batches import Header, Headers

VERDICT_HEADER = "dedup.verdict"


def split_headers(headers: Headers) -> tuple[list[Header], dict[str, bytes | None]]:
    """Part a record's own headers from those that the job added: from the last verdict on.

    A record that came with such headers, because it was an output before, keeps
    them.  The second is empty where nothing was added.
    """
    own = list(headers or ())
    for at in reversed(range(len(own))):
        if own[at][0] == VERDICT_HEADER:
            return own[:at], dict(own[at:])
    return own, {}
