"""Checks what the job is allowed to do before it reads the first record.

Otherwise a missing right would show with the first late record, perhaps at night.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from confluent_kafka import KafkaError, TopicCollection
from confluent_kafka.admin import (
    AclOperation,
    AdminClient,
    ConsumerGroupDescription,
    TopicDescription,
)

from connectors.kafka.access import KafkaAccess
from connectors.kafka.requests import (
    REQUEST_SECONDS,
    KafkaUnreachableError,
    answer_to,
    list_topics,
    retrying,
)
from operators.errors import DedupError

READ = frozenset((AclOperation.READ,))
WRITE = frozenset((AclOperation.WRITE,))
# Trimming deletes expired records; without it the changelog grows forever.
CHANGELOG = READ | WRITE | {AclOperation.DELETE}

_WHERE = "(docs/operations.md lists all that the job needs)"
_DENIED = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
)
_NOT_YET_THERE = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.GROUP_ID_NOT_FOUND)


class PermissionMissingError(DedupError):
    """Kafka's access lists do not give this user a right that the job needs."""


def check_permissions(access: KafkaAccess, topics: Mapping[str, frozenset[AclOperation]]) -> None:
    """Check that brokers answer, and that this user has all rights on topics and group.

    topics: name → operations; topics that do not exist yet are skipped.  A broker that does
    not say what is allowed counts as allowing it.
    Raises PermissionMissingError, KafkaUnreachableError.
    """
    admin = access.admin()
    list_topics(access, admin)
    _check_topics(access, admin, topics)

    def describe_group() -> ConsumerGroupDescription:
        futures = admin.describe_consumer_groups(
            [access.app_id], include_authorized_operations=True, request_timeout=REQUEST_SECONDS
        )
        group: ConsumerGroupDescription = answer_to(futures[access.app_id])
        return group

    _check(access, f"consumer group {access.app_id} (DEDUP_APP_ID)", READ, describe_group)


def forbidden_topics(
    access: KafkaAccess, topics: Iterable[str], operations: frozenset[AclOperation]
) -> list[str]:
    """Return the topics on which this user may not do all operations, sorted.

    Empty if the brokers do not say so.
    """
    forbidden = []
    admin = access.admin()
    for topic in sorted(topics):
        try:
            _check_topics(access, admin, {topic: operations})
        except PermissionMissingError:
            forbidden.append(topic)
        except KafkaUnreachableError:
            break
    return forbidden


def _check_topics(
    access: KafkaAccess, admin: AdminClient, topics: Mapping[str, frozenset[AclOperation]]
) -> None:
    futures = admin.describe_topics(
        TopicCollection(list(topics)),
        include_authorized_operations=True,
        request_timeout=REQUEST_SECONDS,
    )
    for name, operations in topics.items():
        _check(access, f"topic {name}", operations, futures[name].result)


def _check(
    access: KafkaAccess,
    resource: str,
    operations: frozenset[AclOperation],
    describe: Callable[[], TopicDescription | ConsumerGroupDescription],
) -> None:
    try:
        allowed = retrying(access, describe).authorized_operations
    except KafkaUnreachableError as error:
        code = error.code
        if code in _DENIED:
            raise _missing(resource, operations) from error
        if code in _NOT_YET_THERE:
            return
        raise
    if allowed and not operations <= set(allowed):
        raise _missing(resource, operations - set(allowed))


def _missing(resource: str, operations: frozenset[AclOperation]) -> PermissionMissingError:
    names = " and ".join(sorted(operation.name.capitalize() for operation in operations))
    return PermissionMissingError(
        f"this user has no right to {names} on {resource}: add an access list entry for it {_WHERE}"
    )


def advice(error: KafkaError, app_id: str) -> str:
    """Say what to do about a missing or revoked right; empty for another error."""
    code = error.code()
    if code == KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
        return (
            ". This user needs Write and Describe on the transactional ids that begin with "
            f"{app_id}-lane- {_WHERE}"
        )
    if code == KafkaError.CLUSTER_AUTHORIZATION_FAILED:
        return f". This user needs IdempotentWrite on the cluster {_WHERE}"
    return ""
