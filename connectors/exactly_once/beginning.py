"""How an application begins: one transaction says in all lanes where reading begins."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence

from confluent_kafka import KafkaError, KafkaException, Producer

from connectors.exactly_once.changelog import AnsweredInput, Changelog
from connectors.exactly_once.changelog_format import BEGINNING, pack
from connectors.exactly_once.transaction_errors import FENCED
from connectors.kafka.access import KafkaAccess
from connectors.kafka.client_errors import error_text
from connectors.kafka.permissions import PermissionMissingError, advice
from connectors.kafka.requests import REQUEST_SECONDS, unreachable_error
from operators.batches import InputPartition
from operators.changes import Delta, LaneChange, LaneProgress

log = logging.getLogger("dedup.changelog")

# A producer that was fenced answers later calls with "fatal error" only.
_TAKEN_OVER = FENCED | {KafkaError._FATAL}  # noqa: SLF001 - its public name
# About as long as a process takes to begin.
_PAUSE_SECONDS = 0.5


def begin_application(
    access: KafkaAccess,
    changelog: Changelog,
    starts: Callable[[], Mapping[InputPartition, int]],
    fingerprint: Mapping[str, str],
) -> list[AnsweredInput | None]:
    """Write where reading begins, unless a process has done so; return what each lane says.

    Rule 5: so that an application that died at once begins at the same offsets again, `latest`
    included.  Of several processes that start at once, one writes and all read the same.
    starts: asked only if nothing was written.  fingerprint: setting → text.  Raises
    PermissionMissingError, KafkaUnreachableError.
    """
    pause = _PAUSE_SECONDS
    while True:
        answered = changelog.answered()
        if all(answered):
            return answered
        try:
            return _begin(access, changelog, starts, dict(fingerprint))
        except KafkaException as error:
            cause = error.args[0]
            if hint := advice(cause, access.app_id):
                msg = f"cannot begin the application: {error_text(cause)}{hint}"
                raise PermissionMissingError(msg) from error
            if cause.code() not in _TAKEN_OVER:
                raise unreachable_error(access, error) from error
            log.info("another process begins the application, too: reading what it wrote")
        # Without different pauses, processes that start at once stop one another again and again.
        time.sleep(random.uniform(0, pause))  # noqa: S311 - no secret
        pause *= 2


def _begin(
    access: KafkaAccess,
    changelog: Changelog,
    starts: Callable[[], Mapping[InputPartition, int]],
    fingerprint: dict[str, str],
) -> list[AnsweredInput | None]:
    producer = Producer(
        {**access.producer_settings("start"), "transactional.id": f"{access.app_id}-start"}
    )
    # From now on a process that began earlier writes nothing more.
    producer.init_transactions(REQUEST_SECONDS)
    # What it has written may show in some lanes before it shows in the others.
    for lane, one in enumerate(changelog.answered()):
        if one is None:
            changelog.wait_until_settled(lane)
    answered = changelog.answered()
    if any(answered):
        return answered
    offsets = starts()
    record = _record(offsets, fingerprint)
    producer.begin_transaction()
    for lane in range(changelog.lanes):
        producer.produce(changelog.topic, record, partition=lane)
    producer.commit_transaction(REQUEST_SECONDS)
    return [AnsweredInput(fingerprint, offsets)] * changelog.lanes


def _record(starts: Mapping[InputPartition, int], fingerprint: dict[str, str]) -> bytes:
    inputs: Sequence[InputPartition] = sorted(starts)
    progress = LaneProgress(
        BEGINNING,
        {number: starts[partition] for number, partition in enumerate(inputs)},
        {},
        float("-inf"),
        tuple(inputs),
    )
    [record] = pack(LaneChange(progress, Delta.empty()), fingerprint)
    return record
