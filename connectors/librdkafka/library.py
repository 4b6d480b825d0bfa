"""librdkafka's own interface, for what its Python side can only do record by record.

The library is the one that confluent_kafka has loaded; its names, types and constants are
those of `rdkafka.h`, which are kept from version to version.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, cimpl

POINTER = ctypes.c_void_p
NUMBER = ctypes.c_int
TEXT = ctypes.c_char_p
SIZE = ctypes.c_size_t
LONG = ctypes.c_int64

PRODUCER: Final = 0
CONSUMER: Final = 1
_REASON_BYTES: Final = 512


class Message(ctypes.Structure):
    """`rd_kafka_message_t`."""

    _fields_ = (
        ("err", NUMBER),
        ("topic", POINTER),
        ("partition", ctypes.c_int32),
        ("value", POINTER),
        ("value_size", SIZE),
        ("key", POINTER),
        ("key_size", SIZE),
        ("offset", LONG),
    )


DeliveryCallback = ctypes.CFUNCTYPE(None, POINTER, ctypes.POINTER(Message), POINTER)
ErrorCallback = ctypes.CFUNCTYPE(None, POINTER, NUMBER, TEXT, POINTER)
# Of an interceptor, the one in which others are added.
NewCallback = ctypes.CFUNCTYPE(NUMBER, POINTER, POINTER, POINTER, POINTER, SIZE)
LogCallback = ctypes.CFUNCTYPE(None, POINTER, NUMBER, TEXT, TEXT)

_TWO_NUMBERS: Final = (ctypes.POINTER(LONG), ctypes.POINTER(LONG))

# name → what it returns, what it takes
_FUNCTIONS: Final[dict[str, tuple[Any, tuple[Any, ...]]]] = {
    "conf_new": (POINTER, ()),
    "conf_set": (NUMBER, (POINTER, TEXT, TEXT, TEXT, SIZE)),
    "conf_destroy": (None, (POINTER,)),
    "conf_set_dr_msg_cb": (None, (POINTER, DeliveryCallback)),
    "conf_set_error_cb": (None, (POINTER, ErrorCallback)),
    "conf_set_log_cb": (None, (POINTER, LogCallback)),
    "conf_interceptor_add_on_new": (NUMBER, (POINTER, TEXT, NewCallback, POINTER)),
    "interceptor_add_on_request_sent": (NUMBER, (POINTER, TEXT, POINTER, POINTER)),
    "new": (POINTER, (NUMBER, POINTER, TEXT, SIZE)),
    "set_log_queue": (NUMBER, (POINTER, POINTER)),
    "destroy": (None, (POINTER,)),
    "name": (TEXT, (POINTER,)),
    "poll": (NUMBER, (POINTER, NUMBER)),
    "flush": (NUMBER, (POINTER, NUMBER)),
    "outq_len": (NUMBER, (POINTER,)),
    "topic_new": (POINTER, (POINTER, TEXT, POINTER)),
    "topic_name": (TEXT, (POINTER,)),
    "message_errstr": (TEXT, (ctypes.POINTER(Message),)),
    "message_produce_errstr": (TEXT, (ctypes.POINTER(Message),)),
    "topic_destroy": (None, (POINTER,)),
    "last_error": (NUMBER, ()),
    "fatal_error": (NUMBER, (POINTER, TEXT, SIZE)),
    "poll_set_consumer": (NUMBER, (POINTER,)),
    "queue_get_consumer": (POINTER, (POINTER,)),
    "queue_destroy": (None, (POINTER,)),
    "topic_partition_list_new": (POINTER, (NUMBER,)),
    "topic_partition_list_add": (POINTER, (POINTER, TEXT, ctypes.c_int32)),
    "topic_partition_list_set_offset": (NUMBER, (POINTER, TEXT, ctypes.c_int32, LONG)),
    "topic_partition_list_destroy": (None, (POINTER,)),
    "assign": (NUMBER, (POINTER, POINTER)),
    "consume_batch_queue": (ctypes.c_ssize_t, (POINTER, NUMBER, POINTER, SIZE)),
    "message_timestamp": (LONG, (POINTER, POINTER)),
    "message_headers": (NUMBER, (POINTER, POINTER)),
    "header_get_all": (NUMBER, (POINTER, SIZE, POINTER, POINTER, POINTER)),
    "message_destroy": (None, (POINTER,)),
    "commit": (NUMBER, (POINTER, POINTER, NUMBER)),
    "query_watermark_offsets": (NUMBER, (POINTER, TEXT, ctypes.c_int32, *_TWO_NUMBERS, NUMBER)),
    "get_watermark_offsets": (NUMBER, (POINTER, TEXT, ctypes.c_int32, *_TWO_NUMBERS)),
    "consumer_close": (NUMBER, (POINTER,)),
    "produceva": (POINTER, (POINTER, POINTER, SIZE)),
    "init_transactions": (POINTER, (POINTER, NUMBER)),
    "begin_transaction": (POINTER, (POINTER,)),
    "commit_transaction": (POINTER, (POINTER, NUMBER)),
    "abort_transaction": (POINTER, (POINTER, NUMBER)),
    "error_code": (NUMBER, (POINTER,)),
    "error_string": (TEXT, (POINTER,)),
    "error_is_fatal": (NUMBER, (POINTER,)),
    "error_is_retriable": (NUMBER, (POINTER,)),
    "error_txn_requires_abort": (NUMBER, (POINTER,)),
    "error_destroy": (None, (POINTER,)),
}


class ClientLibrary:
    """librdkafka's functions, without their prefix: `rd_kafka_poll` is `poll`."""

    def __init__(self) -> None:
        """Raises ImportError where confluent_kafka was built without a library of its own."""
        # Names are looked up in what it was linked with too.
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
        """Only for what is not there: all functions were set at the start."""
        raise AttributeError(name)

    def address(self, name: str) -> int:
        """Return where a function is, for compiled code."""
        return ctypes.cast(getattr(self, name), POINTER).value or 0

    def settings(self, settings: Mapping[str, object]) -> int:
        """Make `rd_kafka_conf_t`.  Raises KafkaException for a name or value it does not take."""
        conf: int = self.conf_new()
        why = ctypes.create_string_buffer(_REASON_BYTES)
        for name, value in settings.items():
            text = None if value is None else str(value).encode()
            if self.conf_set(conf, name.encode(), text, why, len(why)):
                self.conf_destroy(conf)
                raise KafkaException(KafkaError(KafkaError._INVALID_ARG, self.text(why.value)))  # noqa: SLF001
        return conf

    def client(self, kind: int, conf: int) -> int:
        """Make `rd_kafka_t` of `rd_kafka_conf_t`, which belongs to it from now on."""
        why = ctypes.create_string_buffer(_REASON_BYTES)
        handle: int | None = self.new(kind, conf, why, len(why))
        if handle is None:
            code = self.last_error()
            self.conf_destroy(conf)
            raise KafkaException(KafkaError(code, self.text(why.value)))
        return handle

    def met(self, handle: int, code: int, reason: bytes | None) -> KafkaError:
        """Return the error that a client met outside of any call, what made it fatal if it is."""
        fatal = code == KafkaError._FATAL  # noqa: SLF001
        if fatal:
            why = ctypes.create_string_buffer(_REASON_BYTES)
            code, reason = self.fatal_error(handle, why, len(why)), why.value
        return KafkaError(code, self.text(reason), fatal=fatal)

    @staticmethod
    def text(what: bytes | None) -> str:
        """Return what librdkafka says as text."""
        return (what or b"").decode("utf-8", "replace")

    def check(self, error: int | None) -> None:
        """Raise KafkaException for `rd_kafka_error_t`, if there is one, and destroy it."""
        if not error:
            return
        made = KafkaError(
            self.error_code(error),
            self.text(self.error_string(error)),
            fatal=bool(self.error_is_fatal(error)),
            retriable=bool(self.error_is_retriable(error)),
            txn_requires_abort=bool(self.error_txn_requires_abort(error)),
        )
        self.error_destroy(error)
        raise KafkaException(made)


def milliseconds(seconds: float) -> int:
    """What librdkafka takes for a time."""
    return round(1000 * seconds)


LIBRARY: Final = ClientLibrary()
