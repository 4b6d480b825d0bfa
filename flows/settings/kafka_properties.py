"""librdkafka settings of the user: which are refused, and which are secret."""

from __future__ import annotations

import re
from collections.abc import Mapping

Scalar = str | bool | int | float

MASK = "***"

# A librdkafka setting is secret if its name contains one of these.
_SECRET = re.compile(
    r"password|passphrase|secret|token|credential|private|key\.pem|ssl\.key|jaas|oauth",
    re.IGNORECASE,
)

_GROUP = "names the consumer group; set <app_id> instead"
_COMMITS = "the job commits offsets itself, and only those of finished records"
_ACKS = "an output record counts as written when all in-sync replicas have it"
_BROKERS = "set <brokers> instead"

# Settings that the job makes itself: the values that agree with it, and why no others may stand.
_OWNED: dict[str, tuple[tuple[str, ...], str]] = {
    "acks": (("all", "-1"), _ACKS),
    "auto.commit.enable": (("false",), _COMMITS),
    "auto.offset.reset": (
        (),
        "an offset that is gone must stop the job, not skip records; set <start> instead",
    ),
    "bootstrap.servers": ((), _BROKERS),
    "enable.auto.commit": (("false",), _COMMITS),
    "enable.auto.offset.store": (("false",), _COMMITS),
    "enable.idempotence": (("true",), "without it a retry writes a record twice"),
    "group.id": ((), _GROUP),
    "isolation.level": (
        ("read_committed",),
        "records of aborted transactions would count as input",
    ),
    "metadata.broker.list": ((), _BROKERS),
    "request.required.acks": (("all", "-1"), _ACKS),
    "transactional.id": ((), "every lane has one, made from <app_id>"),
}


def parse_properties(value: object) -> dict[str, Scalar]:
    """Check an object of librdkafka settings and return it.

    Raises ValueError if the value is no such object, or has settings that the job makes
    itself.  The text names librdkafka's setting, never its value.  `<app_id>` stands for
    one of our settings.
    """
    if not isinstance(value, Mapping):
        msg = 'must be an object of librdkafka settings, as in {"security.protocol": "SSL"}'
        raise ValueError(msg)  # noqa: TRY004 - pydantic collects ValueError only
    properties: dict[str, Scalar] = {}
    for name, scalar in value.items():
        if not isinstance(name, str) or not name:
            msg = "has a setting of librdkafka without a name in quotes: name it"
            raise ValueError(msg)
        if not isinstance(scalar, str | bool | int | float):
            msg = f"has {name!r}, whose value must be text, a number, true or false"
            raise ValueError(msg)  # noqa: TRY004 - pydantic collects ValueError only
        allowed, why = _OWNED.get(name, (None, ""))
        if allowed is not None and str(scalar).lower() not in allowed:
            msg = f"has {name!r}, which the job sets itself: {why}; leave it out"
            raise ValueError(msg)
        properties[name] = scalar
    return properties


def masked(properties: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Return a copy for logs and terminals: values of secret settings are `***`."""
    return {name: MASK if _SECRET.search(name) else value for name, value in properties.items()}
