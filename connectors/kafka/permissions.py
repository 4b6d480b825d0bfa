"""What the job must be allowed to do, asked before the first record is read.

A missing right that shows only with the first late record shows at night.
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
from connectors.kafka.requests import REQUEST_SECONDS, KafkaUnreachableError, list_topics, retrying
from operators.errors import DedupError

READ = frozenset((AclOperation.READ,))
WRITE = frozenset((AclOperation.WRITE,))
# Trimming deletes what has expired; without it the changelog grows for ever.
CHANGELOG = READ | WRITE | {AclOperation.DELETE}

_WHERE = "(docs/operations.md lists all that the job needs)"
_DENIED = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
)
_NOT_YET_THERE = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.GROUP_ID_NOT_FOUND)


class PermissionMissingError(DedupError):
    """The access lists of Kafka do not let this user do what the job must."""


def check_permissions(access: KafkaAccess, topics: Mapping[str, frozenset[AclOperation]]) -> None:
    """Check that brokers answer, and let this user do what is wanted and Read with the group.

    topics: name → operations; those that do not exist yet are passed over.  A broker
    that does not tell what is allowed is taken to allow it.
    Raises PermissionMissingError, KafkaUnreachableError.
    """
    admin = access.admin()
    list_topics(access, admin)
    _check_topics(access, admin, topics)

    def describe_group() -> ConsumerGroupDescription:
        group: ConsumerGroupDescription = admin.describe_consumer_groups(
            [access.app_id], include_authorized_operations=True, request_timeout=REQUEST_SECONDS
        )[access.app_id].result()
        return group

    _check(access, f"consumer group {access.app_id} (DEDUP_APP_ID)", READ, describe_group)


def forbidden_topics(
    access: KafkaAccess, topics: Iterable[str], wanted: frozenset[AclOperation]
) -> list[str]:
    """Those of the topics on which this user may not do all that is wanted, in order.

    Empty if the brokers do not say so.
    """
    found = []
    admin = access.admin()
    for topic in sorted(topics):
        try:
            _check_topics(access, admin, {topic: wanted})
        except PermissionMissingError:
            found.append(topic)
        except KafkaUnreachableError:
            break
    return found


def _check_topics(
    access: KafkaAccess, admin: AdminClient, topics: Mapping[str, frozenset[AclOperation]]
) -> None:
    described = admin.describe_topics(
        TopicCollection(list(topics)),
        include_authorized_operations=True,
        request_timeout=REQUEST_SECONDS,
    )
    for name, wanted in topics.items():
        _check(access, f"topic {name}", wanted, described[name].result)


def _check(
    access: KafkaAccess,
    what: str,
    wanted: frozenset[AclOperation],
    describe: Callable[[], TopicDescription | ConsumerGroupDescription],
) -> None:
    try:
        allowed = retrying(access, describe).authorized_operations
    except KafkaUnreachableError as error:
        code = error.code
        if code in _DENIED:
            raise _missing(what, wanted) from error
        if code in _NOT_YET_THERE:
            return
        raise
    if allowed and not wanted <= set(allowed):
        raise _missing(what, wanted - set(allowed))


def _missing(what: str, operations: frozenset[AclOperation]) -> PermissionMissingError:
    names = " and ".join(sorted(operation.name.capitalize() for operation in operations))
    return PermissionMissingError(
        f"this user has no right to {names} on {what}: add an access list entry for it {_WHERE}"
    )


def advice(error: KafkaError, app_id: str) -> str:
    """What to do about a right that is missing or was taken away, empty for another error."""
    code = error.code()
    if code == KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
        return (
            ". This user needs Write and Describe on the transactional ids that begin with "
            f"{app_id}-lane- {_WHERE}"
        )
    if code == KafkaError.CLUSTER_AUTHORIZATION_FAILED:
        return f". This user needs IdempotentWrite on the cluster {_WHERE}"
    return ""
