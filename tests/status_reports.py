"""Reports in the form of `/status`, for tests of the page and of `dedup status`."""

import time
from typing import Any

VERDICTS = ("unique", "duplicate", "late", "invalid")


def input_of(partition: int, lag: int | None) -> dict[str, Any]:
    """Part of a report about an input partition; nothing is known of one without a lag."""
    state = "unreachable" if lag is None else "read" if lag else "idle"
    at = None if lag is None else time.time() - 42
    return {
        "topic": "raw-events",
        "partition": partition,
        "lag": lag,
        "state": state,
        "event_time": at,
    }


def report(**changes: object) -> dict[str, Any]:
    """Report of a process with 21 samples and four lanes, with `changes`."""
    now = time.time()
    counts = [86_000, 12_000, 1_500, 500]
    lane = {"keys": 4_000, "bytes": 812_000, "watermark": now - 42, "restored_keys": 1_000}
    values = {
        "app_id": "orders <script>alert(1)</script>",
        "version": "0.1.0",
        "process": 1,
        "processes": 2,
        "input": "raw-events",
        "stage": "running",
        "ready": True,
        "problems": [],
        "at": now,
        "uptime_seconds": 4_000.0,
        "processed": dict(zip(VERDICTS, counts, strict=True)),
        "records_per_second": 2_512.4,
        "duplicates": {"event_id": 11_000, "content": 1_000},
        "inputs": [input_of(0, 0), input_of(1, 1_234), input_of(2, 17), input_of(4, None)],
        "watermark": now - 42,
        "watermark_lag_seconds": 42.0,
        "keys": 16_000,
        "bytes": 3_248_000,
        "restored_keys": 4_000,
        "evictions": {"max_keys": 321},
        "commits": 990,
        "commit_seconds": 0.034,
        "commit_seconds_total": 33.0,
        "checkpoint_age_seconds": 1.5,
        "lanes": [{"lane": index, "records": 25_000, **lane} for index in range(4)],
        "hot_keys": [
            {"lane": 2, "matched": "event_id", "example": "1:57", "duplicates": 4_321},
            {"lane": 0, "matched": "content", "example": "0:9", "duplicates": 12},
        ],
        "history": [
            {
                "at": now - 40 + 2 * n,
                "counts": [n * count / 20 for count in counts],
                "lag": 3_000 * (n % 5),
                "watermark_lag": 42 + n % 7,
                "keys": 15_000 + 50 * n,
                "commits": 40 * n,
                "commit_seconds": 40 * n * 0.03,
                "evictions": 16 * n,
            }
            for n in range(21)
        ],
    }
    return values | changes
