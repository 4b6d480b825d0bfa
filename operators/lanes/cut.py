"""Cut a batch into slices, one a lane."""

from __future__ import annotations

import numpy as np

from operators.batches import DecisionColumns, DecodedBatch, Slice


def cut(batch: DecodedBatch, lanes: int) -> list[Slice]:
    """Cut a batch into one slice for every lane, empty ones too.

    Records keep their order within a lane.  Empty slices carry how far the
    partitions have been read and their largest event times.
    """
    decided = batch.decided
    # Numbers of 16 bits are sorted in one go, without comparing them.
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
        mine = order[borders[lane] : borders[lane + 1]]
        slices.append(
            Slice(
                lane=lane,
                spans=batch.spans.to_rows(mine),
                records=batch.records,
                rows=mine,
                decided=DecisionColumns(
                    times=decided.times[mine],
                    running_max=decided.running_max[mine],
                    hashes=decided.hashes[mine],
                    invalid=invalid[lane],
                    shards=None if decided.shards is None else decided.shards[mine],
                    types=None if decided.types is None else decided.types[mine],
                    texts=None if decided.texts is None else decided.texts[mine],
                ),
                max_event_times=batch.max_event_times,
            )
        )
    return slices
