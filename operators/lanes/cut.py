"""Cuts a batch into slices, one for each lane."""

from __future__ import annotations

import numpy as np

from operators.batches import DecisionColumns, DecodedBatch, Slice


def cut(batch: DecodedBatch, lanes: int) -> list[Slice]:
    """Cut a batch into one slice for every lane, even if the slice is empty.

    Records keep their order within a lane.  An empty slice still carries its spans and
    their largest event times.
    """
    decided = batch.decided
    # numpy sorts 16-bit integers by radix, without comparisons.
    order = np.argsort(batch.lanes.astype(np.uint16), kind="stable")
    borders = np.searchsorted(batch.lanes[order], np.arange(lanes + 1)).tolist()
    invalid: list[dict[int, tuple[str, str]]] = [{} for _ in range(lanes)]
    if decided.invalid:
        position = np.empty(len(order), np.int64)
        position[order] = np.arange(len(order))
        for row, problem in decided.invalid.items():
            lane = int(batch.lanes[row])
            invalid[lane][int(position[row]) - borders[lane]] = problem
    slices = []
    for lane in range(lanes):
        rows = order[borders[lane] : borders[lane + 1]]
        slices.append(
            Slice(
                lane=lane,
                spans=batch.spans.to_rows(rows),
                records=batch.records,
                rows=rows,
                decided=DecisionColumns(
                    times=decided.times[rows],
                    running_max=decided.running_max[rows],
                    hashes=decided.hashes[rows],
                    invalid=invalid[lane],
                    shards=None if decided.shards is None else decided.shards[rows],
                    types=None if decided.types is None else decided.types[rows],
                    texts=None if decided.texts is None else decided.texts[rows],
                ),
                max_event_times=batch.max_event_times,
                known=batch.known,
            )
        )
    return slices
