"""librdkafka's C interface, for calls that confluent_kafka makes only record by record.

The library is the one that confluent_kafka has loaded.  Names, types and constants are those
of `rdkafka.h`, which stay the same from version to version.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, cimpl

POINTER = ctypes.c_void_p
INT = ctypes.c_int
TEXT = ctypes.c_char_p
SIZE = ctypes.c_size_t
LONG = ctypes.c_int64

PRODUCER: Final = 0
CONSUMER: Final = 1
_REASON_BYTES: Final = 512


class Message(ctypes.Structure):
    """`rd_kafka_message_t`."""

    _fields_ = (
        ("err", INT),
        ("topic", POINTER),
        ("partition", ctypes.c_int32),
        ("value", POINTER),
        ("value_size", SIZE),
        ("key", POINTER),
        ("key_size", SIZE),
        ("offset", LONG),
    )


class Position(ctypes.Structure):
    """The public part of `rd_kafka_topic_partition_t`, up to what is used."""

    _fields_ = (
        ("topic", POINTER),
        ("partition", ctypes.c_int32),
        ("offset", LONG),
        ("metadata", POINTER),
        ("metadata_size", SIZE),
    )


DeliveryCallback = ctypes.CFUNCTYPE(None, POINTER, ctypes.POINTER(Message), POINTER)
ErrorCallback = ctypes.CFUNCTYPE(None, POINTER, INT, TEXT, POINTER)
# An interceptor's `on_new`: it adds the other interceptors.
NewCallback = ctypes.CFUNCTYPE(INT, POINTER, POINTER, POINTER, POINTER, SIZE)
LogCallback = ctypes.CFUNCTYPE(None, POINTER, INT, TEXT, TEXT)

_TWO_LONGS: Final = (ctypes.POINTER(LONG), ctypes.POINTER(LONG))

# name → result, arguments
_FUNCTIONS: Final[dict[str, tuple[Any, tuple[Any, ...]]]] = {
    "conf_new": (POINTER, ()),
    "conf_set": (INT, (POINTER, TEXT, TEXT, TEXT, SIZE)),
    "conf_destroy": (None, (POINTER,)),
    "conf_set_dr_msg_cb": (None, (POINTER, DeliveryCallback)),
    "conf_set_error_cb": (None, (POINTER, ErrorCallback)),
    "conf_set_log_cb": (None, (POINTER, LogCallback)),
    "conf_interceptor_add_on_new": (INT, (POINTER, TEXT, NewCallback, POINTER)),
    "interceptor_add_on_request_sent": (INT, (POINTER, TEXT, POINTER, POINTER)),
    "interceptor_add_on_response_received": (INT, (POINTER, TEXT, POINTER, POINTER)),
    "brokers_add": (INT, (POINTER, TEXT)),
    "new": (POINTER, (INT, POINTER, TEXT, SIZE)),
    "set_log_queue": (INT, (POINTER, POINTER)),
    "destroy": (None, (POINTER,)),
    "mem_malloc": (POINTER, (POINTER, SIZE)),
    "name": (TEXT, (POINTER,)),
    "poll": (INT, (POINTER, INT)),
    "flush": (INT, (POINTER, INT)),
    "outq_len": (INT, (POINTER,)),
    "topic_new": (POINTER, (POINTER, TEXT, POINTER)),
    "topic_name": (TEXT, (POINTER,)),
    "message_errstr": (TEXT, (ctypes.POINTER(Message),)),
    "message_produce_errstr": (TEXT, (ctypes.POINTER(Message),)),
    "topic_destroy": (None, (POINTER,)),
    "last_error": (INT, ()),
    "fatal_error": (INT, (POINTER, TEXT, SIZE)),
    "poll_set_consumer": (INT, (POINTER,)),
    "queue_get_consumer": (POINTER, (POINTER,)),
    "queue_destroy": (None, (POINTER,)),
    "topic_partition_list_new": (POINTER, (INT,)),
    "topic_partition_list_add": (ctypes.POINTER(Position), (POINTER, TEXT, ctypes.c_int32)),
    "topic_partition_list_destroy": (None, (POINTER,)),
    "incremental_assign": (POINTER, (POINTER, POINTER)),
    "consume_batch_queue": (ctypes.c_ssize_t, (POINTER, INT, POINTER, SIZE)),
    "message_timestamp": (LONG, (POINTER, POINTER)),
    "message_headers": (INT, (POINTER, POINTER)),
    "header_get_all": (INT, (POINTER, SIZE, POINTER, POINTER, POINTER)),
    "message_destroy": (None, (POINTER,)),
    "commit": (INT, (POINTER, POINTER, INT)),
    "get_watermark_offsets": (INT, (POINTER, TEXT, ctypes.c_int32, *_TWO_LONGS)),
    "consumer_close": (INT, (POINTER,)),
    "produceva": (POINTER, (POINTER, POINTER, SIZE)),
    "init_transactions": (POINTER, (POINTER, INT)),
    "begin_transaction": (POINTER, (POINTER,)),
    "commit_transaction": (POINTER, (POINTER, INT)),
    "abort_transaction": (POINTER, (POINTER, INT)),
    "error_code": (INT, (POINTER,)),
    "error_string": (TEXT, (POINTER,)),
    "error_is_fatal": (INT, (POINTER,)),
    "error_is_retriable": (INT, (POINTER,)),
    "error_txn_requires_abort": (INT, (POINTER,)),
    "error_destroy": (None, (POINTER,)),
}


class ClientLibrary:
    """librdkafka's functions without their prefix: `rd_kafka_poll` is `poll`."""

    def __init__(self) -> None:
        """Raises ImportError if confluent_kafka was built without a shared librdkafka."""
        # The lookup includes the libraries that cimpl is linked with.
        library = ctypes.CDLL(cimpl.__file__)
        for name, (result, arguments) in _FUNCTIONS.items():
            try:
                function = getattr(library, f"rd_kafka_{name}")
            except AttributeError as error:
                msg = (
                    f"rd_kafka_{name} is not in confluent_kafka's library: install its wheel, or "
                    "build it with librdkafka as a shared library"
                )
                raise ImportError(msg) from error
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - functions of many kinds
        """Called only for unknown names: all functions are set in the constructor."""
        raise AttributeError(name)

    def address(self, name: str) -> int:
        """Return a function's address, for compiled code."""
        return ctypes.cast(getattr(self, name), POINTER).value or 0

    def settings(self, settings: Mapping[str, object]) -> int:
        """Make `rd_kafka_conf_t`.  Raises KafkaException for an invalid name or value."""
        conf: int = self.conf_new()
        reason = ctypes.create_string_buffer(_REASON_BYTES)
        for name, value in settings.items():
            text = None if value is None else str(value).encode()
            if self.conf_set(conf, name.encode(), text, reason, len(reason)):
                self.conf_destroy(conf)
                raise KafkaException(KafkaError(KafkaError._INVALID_ARG, self.text(reason.value)))  # noqa: SLF001
        return conf

    def client(self, kind: int, conf: int) -> int:
        """Make `rd_kafka_t`.  From then on it owns `conf`, a `rd_kafka_conf_t`."""
        reason = ctypes.create_string_buffer(_REASON_BYTES)
        handle: int | None = self.new(kind, conf, reason, len(reason))
        if handle is None:
            code = self.last_error()
            self.conf_destroy(conf)
            raise KafkaException(KafkaError(code, self.text(reason.value)))
        return handle

    def client_error(self, handle: int, code: int, reason: bytes | None) -> KafkaError:
        """Return an error that a client met outside any call; for a fatal one its cause."""
        fatal = code == KafkaError._FATAL  # noqa: SLF001
        if fatal:
            cause = ctypes.create_string_buffer(_REASON_BYTES)
            code, reason = self.fatal_error(handle, cause, len(cause)), cause.value
        return KafkaError(code, self.text(reason), fatal=fatal)

    @staticmethod
    def text(message: bytes | None) -> str:
        """Decode a message of librdkafka's."""
        return (message or b"").decode("utf-8", "replace")

    def check(self, error: int | None) -> None:
        """Raise KafkaException for a `rd_kafka_error_t` and destroy it; 0 or None is success."""
        if not error:
            return
        kafka_error = KafkaError(
            self.error_code(error),
            self.text(self.error_string(error)),
            fatal=bool(self.error_is_fatal(error)),
            retriable=bool(self.error_is_retriable(error)),
            txn_requires_abort=bool(self.error_txn_requires_abort(error)),
        )
        self.error_destroy(error)
        raise KafkaException(kafka_error)


def milliseconds(seconds: float) -> int:
    """Convert to whole milliseconds, as librdkafka takes times."""
    return round(1000 * seconds)


LIBRARY: Final = ClientLibrary()
