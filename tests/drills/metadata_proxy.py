"""A proxy that gives a client an answer without brokers, as a broker that just starts may give.

It reads as much of Kafka's protocol as that takes: the requests' headers, and answers about topics
(Metadata, API key 3) up to the number of topics.
"""

import struct
from collections.abc import Iterator
from typing import Final

from tests.drills.proxy import Filter, Proxy

_METADATA: Final = 3
# From this version on lengths are varints, and tagged fields follow each structure.
_FLEXIBLE: Final = 9
_NEWEST: Final = 13  # librdkafka 2.16 asks with it

_SIZE: Final = struct.Struct(">i")
# Of a request: API key, version, correlation id, length of the client's id.
_HEAD: Final = struct.Struct(">hhih")


class MetadataProxy(Proxy):
    """Forwards connections; on demand one answer about topics names no brokers.

    has_forgotten: clients that were given one.
    """

    def __init__(self, port: int, target: int) -> None:
        super().__init__(port, target)
        self.has_forgotten: set[str] = set()
        self._marked: set[str] = set()

    def forget_brokers(self, client: str) -> None:
        """Name no brokers in the next answer about topics to a client, by its `client.id`."""
        self.has_forgotten.discard(client)
        self._marked.add(client)

    def _filters(self) -> tuple[Filter, Filter]:
        connection = _Connection(self)
        return connection.request, connection.response

    def takes(self, client: str) -> bool:
        """Whether the answer to a client that is about to be sent must name no brokers."""
        try:
            self._marked.remove(client)
        except KeyError:
            return False
        self.has_forgotten.add(client)
        return True


class _Connection:
    """One connection: which requests wait for an answer about topics."""

    def __init__(self, proxy: MetadataProxy) -> None:
        self._proxy = proxy
        self._requests, self._responses = _Frames(), _Frames()
        # Correlation id → version and client.  One thread adds, the other one removes.
        self._asked: dict[int, tuple[int, str]] = {}

    def request(self, data: bytes) -> bytes:
        """Note requests for topics; they pass unchanged."""
        for frame in self._requests.add(data):
            key, version, correlation, length = _HEAD.unpack_from(frame)
            if key == _METADATA:
                client = frame[_HEAD.size : _HEAD.size + max(length, 0)].decode()
                self._asked[correlation] = version, client
        return data

    def response(self, data: bytes) -> bytes:
        """Pass whole responses, without brokers where the proxy says so."""
        return b"".join(map(self._answer, self._responses.add(data)))

    def _answer(self, frame: bytes) -> bytes:
        (correlation,) = _SIZE.unpack_from(frame)
        asked = self._asked.pop(correlation, None)
        if asked is not None:
            version, client = asked
            emptied = without_brokers(frame, version)
            if emptied is not None and self._proxy.takes(client):
                frame = emptied
        return _SIZE.pack(len(frame)) + frame


class _Frames:
    """Cuts a stream into Kafka's requests or responses, each without its size."""

    def __init__(self) -> None:
        self._data = bytearray()

    def add(self, data: bytes) -> Iterator[bytes]:
        """Add what has come; return those that are whole."""
        self._data += data
        while len(self._data) >= _SIZE.size:
            (size,) = _SIZE.unpack_from(self._data)
            end = _SIZE.size + size
            if len(self._data) < end:
                return
            frame = bytes(self._data[_SIZE.size : end])
            del self._data[:end]
            yield frame


def without_brokers(response: bytes, version: int) -> bytes | None:
    """Return a Metadata response without its brokers; None if it has no topics.

    Such a one is no answer to librdkafka: it asks again.  There is no controller either.
    Raises ValueError for a version that is not known.
    """
    if version > _NEWEST:
        msg = f"Metadata version {version} is not known"
        raise ValueError(msg)
    flexible = version >= _FLEXIBLE
    reader = _Reader(response, flexible=flexible)
    reader.skip(4)  # correlation id
    reader.skip_tags()
    if version >= 3:
        reader.skip(4)  # throttle time
    head = response[: reader.at]
    for _ in range(reader.count()):
        reader.skip(4)  # id
        reader.skip_text()  # host
        reader.skip(4)  # port
        if version >= 1:
            reader.skip_text()  # rack
        reader.skip_tags()
    after = reader.at
    if version >= 2:
        reader.skip_text()  # cluster id
    cluster = response[after : reader.at]
    if version >= 1:
        reader.skip(4)  # controller
    nobody = _SIZE.pack(-1) if version >= 1 else b""
    topics = response[reader.at :]
    if reader.count() == 0:
        return None
    none = b"\x01" if flexible else _SIZE.pack(0)
    return head + none + cluster + nobody + topics


class _Reader:
    """Finds its way through the fields of a response."""

    def __init__(self, data: bytes, *, flexible: bool) -> None:
        self._data = data
        self._flexible = flexible
        self.at = 0

    def skip(self, size: int) -> None:
        """Skip bytes."""
        self.at += size

    def count(self) -> int:
        """Read the length of an array; −1 for none."""
        if self._flexible:
            return self._varint() - 1
        (count,) = _SIZE.unpack_from(self._data, self.at)
        self.at += _SIZE.size
        return int(count)

    def skip_text(self) -> None:
        """Skip a string, which may be null."""
        if self._flexible:
            size = self._varint() - 1
        else:
            (size,) = struct.unpack_from(">h", self._data, self.at)
            self.at += 2
        self.at += max(size, 0)

    def skip_tags(self) -> None:
        """Skip the tagged fields, which only flexible versions have."""
        if not self._flexible:
            return
        for _ in range(self._varint()):
            self._varint()
            size = self._varint()
            self.at += size

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
