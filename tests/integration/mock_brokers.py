"""librdkafka's mock brokers: they answer as they are told to, errors too.

They are in the library that confluent_kafka brings along, but not in its Python side.
"""

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Final

from confluent_kafka import KafkaError, KafkaException, cimpl

_PRODUCER: Final = 0
_FIRST: Final = 1


class Request(IntEnum):
    """Requests by their key in Kafka's protocol."""

    PRODUCE = 0
    FETCH = 1
    OFFSET_COMMIT = 8
    OFFSET_FETCH = 9
    INIT_PRODUCER_ID = 22
    ADD_PARTITIONS_TO_TXN = 24
    END_TXN = 26


@dataclass(frozen=True)
class MockBrokers:
    """A cluster within this process, of one broker unless asked for more."""

    bootstrap: str
    _cluster: int

    def create(self, topic: str, replicas: int = 1) -> None:
        """Create a topic with one partition."""
        _check(_library().rd_kafka_mock_topic_create(self._cluster, topic.encode(), 1, replicas))

    def lose(self, topic: str) -> None:
        """Say of a topic from now on that it is not there."""
        _library().rd_kafka_mock_topic_set_error(
            self._cluster, topic.encode(), KafkaError.UNKNOWN_TOPIC_OR_PART
        )

    def lose_leader(self, topic: str, partition: int = 0) -> None:
        """Let nobody lead a partition until `lead_again`."""
        _check(
            _library().rd_kafka_mock_partition_set_leader(
                self._cluster, topic.encode(), partition, -1
            )
        )

    def lead_again(self, topic: str, partition: int = 0, leader: int = _FIRST) -> None:
        """Have a leader elected, the first broker or another: it answers those that know of it."""
        _check(
            _library().rd_kafka_mock_partition_set_leader(
                self._cluster, topic.encode(), partition, leader
            )
        )

    def answer_after(self, milliseconds: int) -> None:
        """Answer so much later from now on."""
        _check(_library().rd_kafka_mock_broker_set_rtt(self._cluster, _FIRST, milliseconds))

    def go_away(self) -> None:
        """The first broker takes no connection from now on, and ends those that there are.

        What it led has no leader.
        """
        _check(_library().rd_kafka_mock_broker_set_down(self._cluster, _FIRST))

    def come_back(self) -> None:
        """Take connections again; leaders are still to be elected."""
        _check(_library().rd_kafka_mock_broker_set_up(self._cluster, _FIRST))

    def answer(self, request: Request, codes: Sequence[int]) -> None:
        """Answer the next requests of a kind with these errors, one each."""
        errors = (ctypes.c_int * len(codes))(*codes)
        _library().rd_kafka_mock_push_request_errors_array(
            self._cluster, request, len(codes), errors
        )


@contextmanager
def mock_brokers(brokers: int = 1) -> Iterator[MockBrokers]:
    """Start a cluster."""
    library = _library()
    why = ctypes.create_string_buffer(512)
    handle = library.rd_kafka_new(_PRODUCER, None, why, len(why))
    assert handle, why.value.decode()
    cluster = library.rd_kafka_mock_cluster_new(handle, brokers)
    try:
        yield MockBrokers(library.rd_kafka_mock_cluster_bootstraps(cluster).decode(), cluster)
    finally:
        library.rd_kafka_mock_cluster_destroy(cluster)
        library.rd_kafka_destroy(handle)


@cache
def _library() -> ctypes.CDLL:
    """The librdkafka that confluent_kafka itself has loaded."""
    library = ctypes.CDLL(cimpl.__file__)  # names are looked up in what it was linked with too
    pointer, number, text = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
    for name, result, arguments in (
        ("new", pointer, [number, pointer, text, ctypes.c_size_t]),
        ("destroy", None, [pointer]),
        ("mock_cluster_new", pointer, [pointer, number]),
        ("mock_cluster_destroy", None, [pointer]),
        ("mock_cluster_bootstraps", text, [pointer]),
        ("mock_topic_create", number, [pointer, text, number, number]),
        (
            "mock_partition_set_leader",
            number,
            [pointer, text, ctypes.c_int32, ctypes.c_int32],
        ),
        ("mock_broker_set_rtt", number, [pointer, ctypes.c_int32, number]),
        ("mock_broker_set_down", number, [pointer, ctypes.c_int32]),
        ("mock_broker_set_up", number, [pointer, ctypes.c_int32]),
        ("mock_topic_set_error", None, [pointer, text, number]),
        (
            "mock_push_request_errors_array",
            None,
            [pointer, ctypes.c_int16, ctypes.c_size_t, ctypes.POINTER(number)],
        ),
    ):
        function = getattr(library, f"rd_kafka_{name}")
        function.restype, function.argtypes = result, arguments
    return library


def _check(code: int) -> None:
    if code:
        raise KafkaException(KafkaError(code))
