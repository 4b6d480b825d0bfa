"""How an application begins: one transaction says in all lanes where reading begins."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from confluent_kafka import KafkaError, KafkaException, Producer

from connectors.exactly_once.changelog import AnsweredInput, Changelog
from connectors.exactly_once.changelog_format import BEGINNING, pack
from connectors.kafka.access import KafkaAccess
from connectors.kafka.requests import REQUEST_SECONDS, unreachable_error
from operators.batches import InputPartition
from operators.changes import Delta, LaneChange, LaneProgress

log = logging.getLogger("dedup.changelog")

_FENCED = (KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH)  # noqa: SLF001


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
    KafkaUnreachableError.
    """
    while True:
        answered = changelog.answered()
        if any(answered):
            return answered
        try:
            _begin(access, changelog, starts, dict(fingerprint))
        except KafkaException as error:
            if error.args[0].code() not in _FENCED:
                raise unreachable_error(access, error) from error
            log.info("another process begins the application, too: reading what it wrote")


def _begin(
    access: KafkaAccess,
    changelog: Changelog,
    starts: Callable[[], Mapping[InputPartition, int]],
    fingerprint: dict[str, str],
) -> None:
    producer = Producer(
        {**access.producer_settings("start"), "transactional.id": f"{access.app_id}-start"}
    )
    # From now on a process that began earlier writes nothing more.
    producer.init_transactions(REQUEST_SECONDS)
    for lane in range(changelog.lanes):
        changelog.wait_until_settled(lane)
    if any(changelog.answered()):
        return
    record = _record(starts(), fingerprint)
    producer.begin_transaction()
    for lane in range(changelog.lanes):
        producer.produce(changelog.topic, record, partition=lane)
    producer.commit_transaction(REQUEST_SECONDS)


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
