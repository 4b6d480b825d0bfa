"""Latency under a paced load: from produced to read by a `read_committed` reader.

`python -m bench.latency` prints p50, p99, p99.9 and max for each rate, ours exactly
once and Kafka Streams' exactly_once_v2, and writes them as JSON.

The record's own timestamp is when it was produced (milliseconds); the reader notes
when `consume` gave it back.  Load and reader are processes of their own.  The first
seconds (`WARM_UP_SECONDS`) do not count: programs begin to compile or to allocate.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

import numpy as np
from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from bench.harness.contenders_for_latency import CONTENDERS, Topics
from bench.harness.machine import processor_shares, write_results
from deploy.kafka import start_broker

WARM_UP_SECONDS = 20.0
PARTITIONS = 4
_WARM_UP_RATE = 10_000
_TICK_SECONDS = 0.005
_DUPLICATES_EVERY = 5
# Clients' threads do not survive a fork.
_PROCESSES = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from produced to read; `records` of them were measured.

    busy, stolen: of 100, how much of the machine's processors was used meanwhile, and how
    much other machines on the same host had of it: with much of either, all waits longer.
    """

    contender: str
    rate: int
    seconds: float
    live_keys: int
    records: int
    p50: float
    p99: float
    p999: float
    max: float
    busy: float
    stolen: float


def event(number: int, key: int) -> bytes:
    """One event of about 190 bytes; its time of day is its event time."""
    return (
        b'{"event_id":"event-%010d","user_id":"user-%d","event_type":"purchase",'
        b'"timestamp":%.3f,"data":{"order":%d,"amount":19.99,"currency":"EUR",'
        b'"note":"a note of some length, as notes are"}}'
        % (key, number % 1000, time.time(), number)
    )


def produce_paced(brokers: str, topic: str, rate: int, seconds: float, first_key: int) -> None:
    """Produce `rate` records a second for so many seconds, every fifth a repeat."""
    producer = Producer({"bootstrap.servers": brokers, "linger.ms": 1, "acks": "all"})
    begun = time.monotonic()
    sent = 0
    while (passed := time.monotonic() - begun) < seconds:
        wanted = int(passed * rate)
        for number in range(sent, wanted):
            key = first_key + number - (3 if number % _DUPLICATES_EVERY == 4 else 0)
            producer.produce(topic, event(number, key), key=b"event-%010d" % key)
        sent = wanted
        producer.poll(0)
        time.sleep(_TICK_SECONDS)
    producer.flush()


def preload(brokers: str, topic: str, keys: int) -> None:
    """Put so many unique records in, as fast as can be."""
    producer = Producer(
        {
            "bootstrap.servers": brokers,
            "linger.ms": 20,
            "queue.buffering.max.messages": 2_000_000,
        }
    )
    for number in range(keys):
        producer.produce(topic, event(number, number), key=b"event-%010d" % number)
        if not number % 10_000:
            producer.poll(0)
    producer.flush()


def read_latencies(brokers: str, topics: Sequence[str], answer: Connection) -> None:
    """Read outputs until told to stop; send back (produced, read) in milliseconds."""
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": "latency",
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 10,
        }
    )
    consumer.assign([TopicPartition(t, p, 0) for t in topics for p in range(PARTITIONS)])
    produced: list[int] = []
    read: list[float] = []
    while not answer.poll():
        messages = consumer.consume(10_000, 0.005)
        now = time.time() * 1000.0
        stamps = [stamp for _, stamp in map(Message.timestamp, messages)]
        produced += stamps
        read += [now] * len(stamps)
    consumer.close()
    answer.send((np.array(produced, np.float64), np.array(read)))


def begin(brokers: str, topics: Topics, keys: int) -> tuple[SpawnProcess, Connection]:
    """Make the topics, produce so many records, and start to read the outputs."""
    admin = AdminClient({"bootstrap.servers": brokers})
    new = [NewTopic(topic, PARTITIONS, 1) for topic in topics.all()]
    for future in admin.create_topics(new).values():
        future.result()
    preload(brokers, topics.input, keys)
    ours, theirs = _PROCESSES.Pipe()
    outputs = [topics.unique, topics.duplicate]
    reader = _PROCESSES.Process(target=read_latencies, args=(brokers, outputs, theirs), daemon=True)
    reader.start()
    return reader, ours


def measure(brokers: str, name: str, rate: int, seconds: float, keys: int) -> Latency:
    """Run one contender under one load."""
    topics = Topics(
        *(f"{kind}-{name}-{rate}-{keys}" for kind in ("in", "unique", "duplicate", "late", "bad"))
    )
    outputs = [topics.unique, topics.duplicate]
    reader, ours = begin(brokers, topics, keys)
    with CONTENDERS[name](brokers, topics, f"latency-{name}-{rate}-{keys}"):
        _wait_for(brokers, outputs, keys)
        begun = time.time()
        load = _PROCESSES.Process(
            target=produce_paced, args=(brokers, topics.input, rate, seconds, keys), daemon=True
        )
        load.start()
        load.join(WARM_UP_SECONDS)
        processor_shares()
        load.join()
        busy, stolen = processor_shares()
        time.sleep(3.0)
    ours.send("stop")
    produced, read = ours.recv()
    reader.join()
    counted = produced > (begun + WARM_UP_SECONDS) * 1000.0
    latencies = (read - produced)[counted]
    p50, p99, p999 = np.percentile(latencies, (50, 99, 99.9)).tolist()
    return Latency(
        contender=name,
        rate=rate,
        seconds=seconds - WARM_UP_SECONDS,
        live_keys=keys,
        records=len(latencies),
        p50=round(p50, 1),
        p99=round(p99, 1),
        p999=round(p999, 1),
        max=round(float(latencies.max()), 1),
        busy=busy,
        stolen=stolen,
    )


def _wait_for(brokers: str, topics: Sequence[str], records: int) -> None:
    """Wait until the preloaded records are out (and a little longer, for the start)."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "latency-ends"})
    found = -1
    while found < records:
        time.sleep(0.5)
        try:
            found = sum(
                consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)[1]
                for topic in topics
                for partition in range(PARTITIONS)
            )
        except KafkaException:
            continue  # new topics have no leader for a moment
    consumer.close()
    # Else the kernel writes the broker's files to disk half a minute later, in all that counts.
    os.sync()
    time.sleep(2.0)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.latency")
    parser.add_argument("--rates", default="1000,10000,50000")
    parser.add_argument("--seconds", type=float, default=50.0)
    parser.add_argument("--only", default=",".join(CONTENDERS))
    parser.add_argument("--live-keys", type=int, default=0)
    parser.add_argument("--warm-up", type=float, default=120.0, help="seconds of load before all")
    options = parser.parse_args()
    results = []
    with start_broker(own=True) as broker:
        if options.warm_up:
            # For two minutes a broker that has just begun compiles; at first it takes a processor.
            measure(broker.bootstrap, "ours", _WARM_UP_RATE, options.warm_up, 1)
        for rate in map(int, options.rates.split(",")):
            for name in options.only.split(","):
                result = measure(broker.bootstrap, name, rate, options.seconds, options.live_keys)
                results.append(result)
                print(
                    f"{result.contender:24} {result.rate:>7}/s  p50 {result.p50:7.1f}  "
                    f"p99 {result.p99:7.1f}  p99.9 {result.p999:7.1f}  max {result.max:7.1f} ms  "
                    f"({result.records} records; {result.busy:.0f} % of the processors busy, "
                    f"{result.stolen:.1f} % stolen)",
                    flush=True,
                )
    write_results("latency", {"latency": [asdict(one) for one in results]})


if __name__ == "__main__":
    main()
