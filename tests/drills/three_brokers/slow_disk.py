"""A disk that is busy with something else, and brokers that wait for it."""

import os
import threading
from pathlib import Path
from typing import Final

from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from deploy.kafka import Cluster
from deploy.kafka.scoped import Scoped

_WRITERS: Final = 4
_CHUNK: Final = bytes(4 << 20)
_FILE_BYTES: Final = 256 << 20
_REQUEST_SECONDS: Final = 30.0
_FLUSH: Final = "flush.messages"


class SlowDisk(Scoped):
    """While it lasts brokers wait for their disk after every record, beside programs that fill it.

    Otherwise Kafka leaves it to the operating system when records get to the disk, and would
    hardly notice.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
        self._folder = cluster.folder
        self._enough = threading.Event()
        self._threads = [
            threading.Thread(target=self._write, args=(number,), name=f"slow-disk-{number}")
            for number in range(_WRITERS)
        ]
        self._topics: list[str] = []

    def begin(self) -> None:
        """Let brokers wait for the disk, and keep it busy."""
        self._topics = list(self._admin.list_topics(timeout=_REQUEST_SECONDS).topics)
        self._alter(AlterConfigOpType.SET)
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Leave the disk to the brokers, and let them wait for it no more."""
        self._enough.set()
        for thread in self._threads:
            thread.join()
        self._alter(AlterConfigOpType.DELETE)

    def _alter(self, how: AlterConfigOpType) -> None:
        changes = [
            ConfigResource(
                ResourceType.TOPIC,
                topic,
                incremental_configs=[ConfigEntry(_FLUSH, "1", incremental_operation=how)],
            )
            for topic in self._topics
        ]
        futures = self._admin.incremental_alter_configs(changes, request_timeout=_REQUEST_SECONDS)
        for future in futures.values():
            future.result()

    def _write(self, number: int) -> None:
        path = Path(self._folder, f"slow-disk-{number}")
        try:
            with path.open("wb", buffering=0) as file:
                while not self._enough.is_set():
                    file.write(_CHUNK)
                    os.fsync(file.fileno())
                    if file.tell() > _FILE_BYTES:
                        file.seek(0)
        finally:
            path.unlink(missing_ok=True)
