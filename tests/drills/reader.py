"""A `read_committed` reader that watches the outputs all the while."""

import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Final

from confluent_kafka import Consumer, KafkaError, TopicPartition

from deploy.kafka.scoped import Scoped
from tests.integration.topics import Topics

NUMBER: Final = "drill.number"
"""Header of every input record: which one it is."""


@dataclass(frozen=True)
class Answer:
    """What a record was answered: the verdict, and of a duplicate what it says that it repeats."""

    verdict: str
    matched: str = ""
    original: str = ""


class Reader(Scoped):
    """Reads the output topics in a thread, from before the first record to after the last.

    What a reader has seen committed must stand: nothing twice, and offsets that only grow.
    """

    def __init__(self, topics: Topics) -> None:
        self.seen: Counter[int] = Counter()
        self.answers: dict[int, Answer] = {}
        self.wrong: list[str] = []
        self._topics = topics
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reader")

    def begin(self) -> None:
        """Start reading."""
        self._thread.start()

    def end(self) -> None:
        """Stop reading."""
        self._enough.set()
        self._thread.join()

    @property
    def doubled(self) -> int:
        """How many records were read more than once."""
        return sum(count - 1 for count in list(self.seen.values()))

    def wait_for(self, count: int, seconds: float) -> bool:
        """Wait until so many different records have been read."""
        deadline = time.monotonic() + seconds
        while len(self.seen) < count:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def _run(self) -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": self._topics.bootstrap,
                "group.id": f"{self._topics.prefix}-watch",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "error",
                "fetch.wait.max.ms": 50,
                # A broker that stands still must not hold it up: it measures the job.
                "socket.timeout.ms": 3000,
                "topic.metadata.refresh.interval.ms": 1000,
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,
            }
        )
        partitions = range(self._topics.partitions)
        consumer.assign(
            [
                TopicPartition(topic, number, 0)
                for topic in self._topics.outputs.values()
                for number in partitions
            ]
        )
        verdicts = {topic: verdict for verdict, topic in self._topics.outputs.items()}
        reached: dict[tuple[str | None, int | None], int] = {}
        while not self._enough.is_set():
            for message in consumer.consume(1000, 0.1):
                error = message.error()
                if error is not None:
                    # While a broker is down there is nothing to read: that is no fault here.
                    if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError._UNKNOWN_TOPIC):
                        self.wrong.append(f"the reader was thrown back: {error.str()}")
                    continue
                place, offset = (message.topic(), message.partition()), message.offset()
                assert offset is not None
                if offset <= reached.get(place, -1):
                    self.wrong.append(f"offset {offset} of {place} came after {reached[place]}")
                reached[place] = offset
                headers = dict(message.headers() or [])
                number = headers.get(NUMBER)
                if isinstance(number, bytes):
                    self.answers[int(number)] = Answer(
                        verdicts[message.topic() or ""],
                        _text(headers.get("dedup.matched")),
                        _text(headers.get("dedup.original")),
                    )
                    self.seen[int(number)] += 1
                else:
                    self.wrong.append(f"{place} has a record at {offset} that nobody wrote")
        consumer.close()


def _text(value: str | bytes | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""
