"""Each row of the table in connectors/exactly_once/transaction_errors.py, with a broker's errors.

tests/unit/connectors/exactly_once/test_transaction_errors.py covers every code.  The consequences
for records are in test_exactly_once_errors.py, missing permissions in test_security.py.
"""

from collections.abc import Iterator

import pytest
from confluent_kafka import KafkaError

from connectors.exactly_once import lane_producer
from connectors.exactly_once.lane_producer import FencedError, LaneProducer
from connectors.exactly_once.transaction_errors import Action
from connectors.kafka import permissions, requests
from connectors.kafka.access import KafkaAccess
from connectors.librdkafka.packed_records import PackedRecords
from operators.errors import SinkError
from tests.integration.mock_brokers import MockBrokers, Request, mock_brokers
from tests.model import Record
from tests.pipeline import records_of

PRODUCE, INIT = Request.PRODUCE, Request.INIT_PRODUCER_ID
ADD, END = Request.ADD_PARTITIONS_TO_TXN, Request.END_TXN
OUTPUT = "app-unique"
CHANGELOG = "app-changelog"
QUIET = {"log_level": 0}
# After a record's error librdkafka may abort a second transaction because of sequence numbers.
ATTEMPTS = 5


@pytest.fixture
def brokers(monkeypatch: pytest.MonkeyPatch) -> Iterator[MockBrokers]:
    # Mock brokers know no access lists.
    for module in (requests, permissions):
        monkeypatch.setattr(module, "REQUEST_SECONDS", 0.1)
    with mock_brokers() as started:
        for topic in (OUTPUT, CHANGELOG):
            started.create(topic)
        yield started


def commit_one(brokers: MockBrokers, request: Request, *codes: int) -> Action | None:
    """Commit one record, while the brokers answer requests of a kind with these errors.

    Returns the action after the first attempt; repeats the transaction until it is committed.
    """
    if request is INIT:
        brokers.answer(request, codes)
    # A missing topic may appear soon: librdkafka waits for it, here only for a moment.
    soon = {"topic.metadata.propagation.max.ms": 100}
    producer = LaneProducer(KafkaAccess(brokers.bootstrap, "app", QUIET, producer=soon), 0)
    if request is not INIT:
        brokers.answer(request, codes)
    actions: list[Action | None] = []
    while not actions or (actions[-1] is Action.RETRY_TRANSACTION and len(actions) < ATTEMPTS):
        if actions:
            producer.abort()
        producer.begin()
        producer.produce(OUTPUT, PackedRecords(records_of([Record(0, 0, b"key", b"value")])))
        actions.append(producer.commit(CHANGELOG, [b"change"]))
    assert actions[-1] is None
    return actions[0]


@pytest.mark.parametrize(
    "request_,code",
    [
        (INIT, KafkaError.PRODUCER_FENCED),
        (ADD, KafkaError.PRODUCER_FENCED),
        (ADD, KafkaError.INVALID_PRODUCER_EPOCH),
        (ADD, KafkaError.INVALID_PRODUCER_ID_MAPPING),
        (PRODUCE, KafkaError.PRODUCER_FENCED),
        (PRODUCE, KafkaError.INVALID_PRODUCER_EPOCH),
        (END, KafkaError.PRODUCER_FENCED),
        (END, KafkaError.INVALID_PRODUCER_EPOCH),
        (END, KafkaError.INVALID_PRODUCER_ID_MAPPING),
    ],
)
def test_fenced(brokers: MockBrokers, request_: Request, code: int) -> None:
    with pytest.raises(FencedError, match="another process has taken over lane 0"):
        commit_one(brokers, request_, code)


@pytest.mark.parametrize(
    "request_,code",
    [
        (ADD, KafkaError.INVALID_TXN_STATE),
        (PRODUCE, KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER),
        (END, KafkaError.INVALID_TXN_STATE),
    ],
)
def test_fatal_ends(brokers: MockBrokers, request_: Request, code: int) -> None:
    with pytest.raises(SinkError, match=r"lane 0 .* Nothing is lost") as ended:
        commit_one(brokers, request_, code)
    assert not isinstance(ended.value, FencedError)


@pytest.mark.parametrize(
    "code",
    [
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.POLICY_VIOLATION,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.UNSUPPORTED_COMPRESSION_TYPE,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
    ],
)
def test_a_refused_record_names_a_topic(brokers: MockBrokers, code: int) -> None:
    with pytest.raises(SinkError, match=r"topic app-\w+ refused a record"):
        commit_one(brokers, PRODUCE, code)


@pytest.mark.parametrize(
    "code,right",
    [
        (KafkaError.CLUSTER_AUTHORIZATION_FAILED, "IdempotentWrite on the cluster"),
        (KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, "Write and Describe on the tran"),
    ],
)
def test_a_refused_record_may_name_a_missing_permission(
    brokers: MockBrokers, code: int, right: str
) -> None:
    with pytest.raises(SinkError, match=right):
        commit_one(brokers, PRODUCE, code)


def test_a_missing_topic_is_named(brokers: MockBrokers) -> None:
    brokers.lose(OUTPUT)
    with pytest.raises(SinkError, match=f"topic {OUTPUT} refused a record"):
        commit_one(brokers, PRODUCE)


@pytest.mark.parametrize(
    "request_,code,named",
    [
        (INIT, KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, "Write and Describe on the tran"),
        (ADD, KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, "Write and Describe on the tran"),
        (END, KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, "Write and Describe on the tran"),
        (INIT, KafkaError.CLUSTER_AUTHORIZATION_FAILED, "IdempotentWrite on the cluster"),
        (INIT, KafkaError.INVALID_TRANSACTION_TIMEOUT, "max.transaction.timeout.ms"),
        (ADD, KafkaError.TOPIC_AUTHORIZATION_FAILED, f"topic {CHANGELOG} or {OUTPUT} refused"),
    ],
)
def test_a_missing_permission_is_named(
    brokers: MockBrokers, request_: Request, code: int, named: str
) -> None:
    with pytest.raises(SinkError, match=named):
        commit_one(brokers, request_, code)


@pytest.mark.parametrize(
    "request_,code",
    [
        (ADD, KafkaError.UNKNOWN),
        (PRODUCE, KafkaError.UNKNOWN_PRODUCER_ID),
        (PRODUCE, KafkaError.INVALID_TXN_STATE),
        (PRODUCE, KafkaError.TRANSACTION_ABORTABLE),
        (END, KafkaError.UNKNOWN),
    ],
)
def test_a_transaction_that_must_be_aborted_is_repeated(
    brokers: MockBrokers, request_: Request, code: int
) -> None:
    assert commit_one(brokers, request_, code) is Action.RETRY_TRANSACTION


@pytest.mark.parametrize(
    "request_,code",
    [
        (INIT, KafkaError.COORDINATOR_LOAD_IN_PROGRESS),
        (END, KafkaError.COORDINATOR_NOT_AVAILABLE),
        (END, KafkaError.NOT_COORDINATOR),
    ],
)
def test_without_an_answer_the_call_is_repeated(
    brokers: MockBrokers,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    request_: Request,
    code: int,
) -> None:
    monkeypatch.setattr(lane_producer, "_CALL_SECONDS", 0.2)  # librdkafka pauses for 0.5

    assert commit_one(brokers, request_, code) is None
    assert "lane 0: asking again" in caplog.text


def test_repeated_calls_give_up(brokers: MockBrokers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_producer, "_CALL_SECONDS", 0.2)
    monkeypatch.setattr(lane_producer, "RETRY_TIMEOUT_SECONDS", 0.5)

    with pytest.raises(SinkError, match=r"lane 0 .*Nothing is lost"):
        commit_one(brokers, INIT, *[KafkaError.COORDINATOR_LOAD_IN_PROGRESS] * 100)


@pytest.mark.parametrize(
    "request_,code",
    [
        (ADD, KafkaError.CONCURRENT_TRANSACTIONS),
        (PRODUCE, KafkaError.INVALID_MSG),
        (PRODUCE, KafkaError.REQUEST_TIMED_OUT),
        (PRODUCE, KafkaError.UNKNOWN_TOPIC_OR_PART),
        (PRODUCE, KafkaError.NOT_LEADER_FOR_PARTITION),
    ],
)
def test_errors_that_the_client_retries_itself(
    brokers: MockBrokers, request_: Request, code: int
) -> None:
    assert commit_one(brokers, request_, code) is None


def test_an_aborted_transaction_is_written_again(brokers: MockBrokers) -> None:
    producer = LaneProducer(KafkaAccess(brokers.bootstrap, "app", QUIET), 0)
    brokers.answer(PRODUCE, [KafkaError.TRANSACTION_ABORTABLE])
    steps: list[str] = []

    def produce() -> None:
        steps.append("produce")
        producer.produce(OUTPUT, PackedRecords(records_of([Record(0, 0, b"key", b"value")])))

    producer.write_transaction(produce, CHANGELOG, [b"change"], lambda: steps.append("renew"))

    assert steps[:3] == ["produce", "renew", "produce"]
    assert not producer.in_transaction


def test_an_open_transaction_has_its_records_already(brokers: MockBrokers) -> None:
    producer = LaneProducer(KafkaAccess(brokers.bootstrap, "app", QUIET), 0)
    producer.begin()
    steps: list[str] = []

    producer.write_transaction(
        lambda: steps.append("produce"), CHANGELOG, [b"change"], lambda: None
    )

    assert steps == []
    assert not producer.in_transaction
