"""What the proxy makes of answers about topics."""

import struct

import pytest

from tests.drills.metadata_proxy import MetadataProxy, without_brokers

CLIENT = b"app-source"
TOPIC = b"the rest: topics, which pass as they are"


def array(version: int, count: int) -> bytes:
    """Length of an array."""
    return bytes([count + 1]) if version >= 9 else struct.pack(">i", count)


def text(version: int, value: bytes | None) -> bytes:
    """A string, or null."""
    if version >= 9:
        return b"\x00" if value is None else bytes([len(value) + 1]) + value
    return struct.pack(">h", -1) if value is None else struct.pack(">h", len(value)) + value


def answer(version: int, brokers: int, *, controller: int, topics: int = 1) -> bytes:
    """A Metadata response, by Kafka's MetadataResponse.json."""
    tags = b"\x01\x05\x03abc" if version >= 9 else b""  # one of three bytes
    data = struct.pack(">i", 7) + tags
    data += struct.pack(">i", 0) if version >= 3 else b""
    data += array(version, brokers)
    for number in range(brokers):
        data += struct.pack(">i", number) + text(version, b"host") + struct.pack(">i", 9092)
        data += text(version, None if number % 2 else b"rack") if version >= 1 else b""
        data += tags
    data += text(version, b"cluster") if version >= 2 else b""
    data += struct.pack(">i", controller) if version >= 1 else b""
    return data + array(version, topics) + TOPIC


def request(key: int, version: int, correlation: int) -> bytes:
    """A request's header, and some more."""
    head = struct.pack(">hhih", key, version, correlation, len(CLIENT)) + CLIENT + b"\x00more"
    return struct.pack(">i", len(head)) + head


def response(frame: bytes) -> bytes:
    return struct.pack(">i", len(frame)) + frame


@pytest.mark.parametrize("version", range(14))
def test_brokers_are_taken_out_and_topics_stay(version: int) -> None:
    given = answer(version, 3, controller=2)
    assert without_brokers(given, version) == answer(version, 0, controller=-1)


@pytest.mark.parametrize("version", [1, 12])
def test_an_answer_without_topics_is_left_alone(version: int) -> None:
    assert without_brokers(answer(version, 3, controller=2, topics=0), version) is None


def test_a_version_that_is_not_known() -> None:
    with pytest.raises(ValueError, match="version 14"):
        without_brokers(answer(13, 1, controller=0), 14)


def test_only_the_next_answer_about_topics_to_the_client_is_changed() -> None:
    """Data comes in any pieces; responses to other requests pass."""
    proxy = MetadataProxy(0, 0)
    there, back = proxy._filters()
    full, empty = answer(12, 2, controller=1), answer(12, 0, controller=-1)

    def exchange(key: int) -> bytes:
        asked = request(key, 12, 7)
        assert b"".join(there(asked[at : at + 5]) for at in range(0, len(asked), 5)) == asked
        given = response(full)
        return b"".join(back(given[at : at + 3]) for at in range(0, len(given), 3))

    proxy.forget_brokers("another")
    assert exchange(3) == response(full)
    proxy.forget_brokers(CLIENT.decode())
    assert exchange(1) == response(full)
    assert exchange(3) == response(empty)
    assert exchange(3) == response(full)
    assert proxy.has_forgotten == {CLIENT.decode()}
