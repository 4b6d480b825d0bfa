"""What a state was made with, and whether it still means the same."""

from __future__ import annotations

from operators.errors import StateError


def check_fingerprint(stored: dict[str, str], wanted: dict[str, str], where: str) -> None:
    """Raise StateError that names the first setting that changed since `stored` was made."""
    for name in sorted({*stored, *wanted}):
        if stored.get(name) != wanted.get(name):
            msg = (
                f"{name} was {stored.get(name)} when {where} was made and is {wanted.get(name)} "
                "now: it changes what the state means. Set it back, or choose another "
                "DEDUP_APP_ID (and recovery directory) to begin anew."
            )
            raise StateError(msg)
