"""Where each microsecond goes: `python -m bench.profile`.

The real parts of the job, exactly once, are driven by hand in the order of the flow
and timed: processor time of the deciding thread for each step, and what all other
threads used (librdkafka's, and those of the lanes that commit).  Bytewax's own time is
not in it.  Writes `bench/results/profile.json`.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.harness.inputs import Input, any_name, record_count
from bench.harness.machine import write_results
from deploy.kafka import start_broker
from flows.assembly.parts import parts_for
from flows.assembly.specs import event_spec
from flows.launch import Launch
from flows.process.malloc import tune_malloc
from flows.settings.load import load_settings
from operators.batches import Batch
from operators.decode.decoder import Decoder
from operators.deduplicate import lane_mapper
from operators.encode.encoder import Output
from operators.lanes.cut import cut
from operators.lanes.placement import lane_names
from operators.monitoring.metrics import Metrics
from operators.monitoring.observer import Observer
from operators.split import parts_of

_EPOCH_SECONDS = 2.0
STEPS = ("source", "decode", "cut", "decide", "split", "encode", "sink", "snapshot")


class Stopwatch:
    """Processor time of this thread, by step."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STEPS, 0.0)

    @contextmanager
    def of(self, step: str) -> Iterator[None]:
        """Time a block."""
        began = time.thread_time()
        yield
        self.seconds[step] += time.thread_time() - began


def profile(brokers: str, records: int, *, text: bool) -> dict[str, float]:
    """Microseconds a record of each step, of other threads, and of the wall clock.

    text: event times are RFC 3339.
    """
    topic = any_name("profile")
    Input(records, text=text).produce(brokers, topic)
    settings = load_settings(
        {
            "DEDUP_BROKERS": brokers,
            "DEDUP_APP_ID": topic,
            "DEDUP_INPUT_TOPIC": topic,
            "DEDUP_UNIQUE_TOPIC": f"{topic}-unique",
            "DEDUP_DUPLICATE_TOPIC": f"{topic}-duplicate",
            "DEDUP_LATE_TOPIC": f"{topic}-late",
            "DEDUP_INVALID_TOPIC": f"{topic}-invalid",
            "DEDUP_STOP_AT_END": "true",
        }
    )
    observer = Observer(Metrics())
    parts = parts_for(settings, Launch(Path("unused"), 0, 1, 1), observer)
    names = lane_names(settings.lanes)
    sources: list[Any] = [
        parts.source.build_part("source", name, None) for name in parts.source.list_parts()
    ]
    sinks: dict[str, Any] = {name: parts.sink.build_part("sink", name, None) for name in names}
    decode = Decoder(event_spec(settings))
    decide = lane_mapper(parts.open_lane, observer.decided)
    lanes: dict[int, Any] = {}
    watch = Stopwatch()

    def go_on(batch: Batch) -> None:
        with watch.of("decode"):
            decoded = decode(batch)
        with watch.of("cut"):
            slices = cut(decoded, settings.lanes)
        for slice_ in slices:
            with watch.of("decide"):
                lanes[slice_.lane], verdicts = decide(lanes.get(slice_.lane), slice_)
            with watch.of("split"):
                split = parts_of(verdicts)
            outputs: list[Output] = []
            with watch.of("encode"):
                outputs = [parts.encode(part) for part in split]
            with watch.of("sink"):
                sinks[names[slice_.lane]].write_batch(outputs)

    gc.collect()
    gc.freeze()
    began, all_threads = time.monotonic(), time.process_time()
    _drive(sources, go_on, lambda: _snapshot(watch, sinks), watch)
    with watch.of("snapshot"):
        for sink in sinks.values():
            sink.close()
    wall = time.monotonic() - began
    total = time.process_time() - all_threads
    found = {step: seconds / records * 1e6 for step, seconds in watch.seconds.items()}
    others = total / records * 1e6 - sum(found.values())
    return {**found, "other threads": others, "wall clock": wall / records * 1e6}


def _snapshot(watch: Stopwatch, sinks: dict[str, Any]) -> None:
    with watch.of("snapshot"):
        for sink in sinks.values():
            sink.snapshot()


def _drive(
    sources: list[Any], go_on: Callable[[Batch], None], end_epoch: Callable[[], None], w: Stopwatch
) -> None:
    """Read all partitions in turn until they end."""
    live = list(sources)
    epoch = time.monotonic()
    while live:
        for source in list(live):
            try:
                with w.of("source"):
                    batches = source.next_batch()
            except StopIteration:
                live.remove(source)
                continue
            for batch in batches:
                go_on(batch)
        if time.monotonic() - epoch > _EPOCH_SECONDS:
            end_epoch()
            epoch = time.monotonic()


def main() -> int:
    """Measure, print, write down."""
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__)
    parser.add_argument("--records", type=record_count, default=1_000_000)
    parser.add_argument("--text-times", action="store_true", help="event times are RFC 3339")
    options = parser.parse_args()
    tune_malloc()
    with start_broker(own=True) as broker:
        # What is compiled, is; the broker's too.
        profile(broker.bootstrap, options.records // 5, text=options.text_times)
        found = profile(broker.bootstrap, options.records, text=options.text_times)
    for step, microseconds in found.items():
        print(f"{step:14} {microseconds:6.2f} us/record")
    document = {"records": options.records, "microseconds": found}
    write_results("profile", document)
    return 0


if __name__ == "__main__":
    sys.exit(main())
