"""Signs of life."""

from operators.monitoring.liveness import Liveness


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_every_sign_of_life_ends_the_silence() -> None:
    clock = Clock()
    liveness = Liveness(clock)
    for sign in (
        liveness.note_activity,
        liveness.source_opened,
        liveness.lane_opened,
        liveness.epoch_ended,
        liveness.source_ended,
    ):
        clock.now += 7
        assert liveness.silent_seconds == 7
        sign()
        assert liveness.silent_seconds == 0


def test_an_epoch_is_measured_from_the_end_of_the_last_one() -> None:
    clock = Clock()
    liveness = Liveness(clock)
    clock.now += 3
    liveness.note_activity()
    assert (liveness.epochs, liveness.epoch_seconds) == (0, 3)
    liveness.epoch_ended()
    clock.now += 1
    assert (liveness.epochs, liveness.epoch_seconds) == (1, 1)


def test_a_process_reads_until_its_last_partition_has_ended() -> None:
    liveness = Liveness()
    seen = [liveness.reads]
    for sign in (
        liveness.source_opened,
        liveness.source_opened,
        liveness.source_ended,
        liveness.source_ended,
    ):
        sign()
        seen.append(liveness.reads)
    assert seen == [False, True, True, True, False]


def test_a_process_decides_once_it_has_opened_a_lane() -> None:
    liveness = Liveness()
    seen = [liveness.decides]
    liveness.lane_opened()
    seen.append(liveness.decides)
    assert seen == [False, True]
