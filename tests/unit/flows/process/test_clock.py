"""What the watch of the wall clock says, and when it ends the process."""

import pytest

from flows.process.clock import ClockWatch
from flows.process.health import Health
from operators.monitoring.metrics import Metrics
from operators.monitoring.observer import Observer
from tests.input_cluster import Clock


class Process:
    """A process that reads, with its clocks."""

    def __init__(self, *, ends: bool = True) -> None:
        self.clock, self.wall = Clock(), Clock(1_700_000_000.0)
        self.observer = Observer(Metrics())
        self.observer.liveness._clock = self.clock
        self.observer.liveness.source_opened()
        self.watch = ClockWatch(Health(self.observer), ends=ends, clock=self.wall)

    def after(self, seconds: float, *, reads: bool) -> str | None:
        """Let time pass, a check a second; return the first problem."""
        for _ in range(round(seconds)):
            self.clock.now += 1.0
            self.wall.now += 1.0
            if reads:
                self.observer.liveness.note_activity()
            if (problem := self.watch.check()) is not None:
                return problem
        return None


@pytest.mark.parametrize("seconds", [0.0, 0.3, -0.3, 3600.0])
def test_a_clock_that_does_not_step_back_is_nothing(
    seconds: float, caplog: pytest.LogCaptureFixture
) -> None:
    process = Process()
    process.after(10, reads=True)
    process.wall.now += seconds
    assert process.after(100, reads=False) is None
    assert not caplog.records


def test_a_short_wait_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    process = Process()
    process.after(10, reads=True)
    process.wall.now -= 21.0
    assert process.after(25, reads=False) is None
    [record] = caplog.records
    assert record.levelname == "WARNING"
    line = record.getMessage()
    assert line.startswith("the wall clock stepped back by about 20 s: ")
    assert line.endswith("when it has caught up, in 20 s")


def test_a_long_wait_ends_the_process(caplog: pytest.LogCaptureFixture) -> None:
    process = Process()
    process.after(10, reads=True)
    process.wall.now -= 3601.0
    problem = process.after(100, reads=False)
    assert problem is not None
    assert problem.splitlines() == [problem]
    assert problem.startswith("the wall clock stepped back, and nothing can be read until it has ")
    assert "in 3596 s: this process ends. Nothing is lost" in problem
    [record] = caplog.records
    assert "if nothing is read for 5 s, this process ends" in record.getMessage()


def test_a_process_that_reads_on_does_not_end() -> None:
    """Many records are waiting: Bytewax asks for them at once."""
    process = Process()
    process.after(10, reads=True)
    process.wall.now -= 3600.0
    assert process.after(100, reads=True) is None
    assert process.after(100, reads=False) is not None


def test_one_that_cannot_go_on_waits(caplog: pytest.LogCaptureFixture) -> None:
    """Embedded mode without a recovery directory begins again at the beginning."""
    process = Process(ends=False)
    process.after(10, reads=True)
    process.wall.now -= 3600.0
    assert process.after(100, reads=False) is None
    [record] = caplog.records
    assert "ends" not in record.getMessage()


def test_every_step_is_told(caplog: pytest.LogCaptureFixture) -> None:
    process = Process()
    process.after(10, reads=True)
    for _ in range(2):
        process.wall.now -= 11.0
        process.after(2, reads=True)
    steps = [record.getMessage().partition(":")[0] for record in caplog.records]
    assert steps == ["the wall clock stepped back by about 10 s"] * 2


def test_a_clock_that_was_ahead_for_a_while_has_stepped_back_too() -> None:
    """Bytewax remembers the times that it was ahead by."""
    process = Process()
    process.wall.now += 600.0
    assert process.after(10, reads=False) is None
    process.wall.now -= 600.0
    assert process.after(10, reads=False) is not None
