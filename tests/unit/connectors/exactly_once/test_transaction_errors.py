"""What each error of a transaction leads to: a test for every row of the table."""

import pytest
from confluent_kafka import KafkaError

from connectors.exactly_once.transaction_errors import (
    FENCED,
    REFUSED,
    RETRY_CALL,
    Action,
    action_for,
)

_UNKNOWN = KafkaError.UNKNOWN


def test_no_code_is_in_two_rows() -> None:
    assert not FENCED & REFUSED
    assert not FENCED & RETRY_CALL
    assert not REFUSED & RETRY_CALL


@pytest.mark.parametrize("code", sorted(FENCED))
@pytest.mark.parametrize("fatal, abort", [(False, False), (True, False), (False, True)])
def test_fenced_counts_before_every_flag(code: int, fatal: bool, abort: bool) -> None:
    error = KafkaError(code, fatal=fatal, txn_requires_abort=abort)
    assert action_for(error) is Action.FENCED


@pytest.mark.parametrize("code", sorted(REFUSED))
@pytest.mark.parametrize("retriable, abort", [(False, False), (True, False), (False, True)])
def test_refused_is_not_retried(code: int, retriable: bool, abort: bool) -> None:
    error = KafkaError(code, retriable=retriable, txn_requires_abort=abort)
    assert action_for(error) is Action.REFUSED


@pytest.mark.parametrize(
    "code", [_UNKNOWN, KafkaError._FATAL, KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER]
)
def test_fatal_ends(code: int) -> None:
    assert action_for(KafkaError(code, fatal=True, retriable=True)) is Action.END


@pytest.mark.parametrize(
    "code",
    [
        KafkaError._MSG_TIMED_OUT,
        KafkaError.UNKNOWN_PRODUCER_ID,
        KafkaError.TRANSACTION_ABORTABLE,
        KafkaError._TIMED_OUT,
    ],
)
def test_a_transaction_that_must_be_aborted_is_repeated(code: int) -> None:
    assert action_for(KafkaError(code, txn_requires_abort=True)) is Action.RETRY_TRANSACTION


@pytest.mark.parametrize("code", sorted(RETRY_CALL))
def test_no_answer_yet_means_the_same_call_again(code: int) -> None:
    assert action_for(KafkaError(code)) is Action.RETRY_CALL


def test_a_retriable_error_means_the_same_call_again() -> None:
    assert action_for(KafkaError(_UNKNOWN, retriable=True)) is Action.RETRY_CALL


@pytest.mark.parametrize("code", [_UNKNOWN, KafkaError._STATE, KafkaError.INVALID_TXN_STATE])
def test_anything_else_ends(code: int) -> None:
    assert action_for(KafkaError(code)) is Action.END
