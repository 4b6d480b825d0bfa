"""SIGTERM while the input was a FIFO without a writer ended with status 1, seconds later."""

import os
import signal
import socket
import time
from pathlib import Path

import pytest

from connectors.files.source import LinesSource
from deploy.kafka.ports import free_ports
from tests.integration.embedded import check, event, settings_for
from tests.integration.job import Job


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "in.jsonl")
    return tmp_path / "in.jsonl"


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def test_a_signal_ends_the_job_with_status_0(tmp_path: Path, pipe: Path) -> None:
    [port] = free_ports(1)
    settings = settings_for(tmp_path) | {"DEDUP_METRICS_PORT": str(port)}
    with Job(settings, tmp_path) as job:
        job.wait_until(lambda: answers(port))
        time.sleep(3)  # it opens the input soon after
        job.send(signal.SIGTERM)
        [ended] = job.wait()

    assert ended.status == 0, ended.stderr
    assert pipe.is_fifo()


def test_a_writer_that_comes_later_is_read_to_its_end(tmp_path: Path, pipe: Path) -> None:
    lines = [event(f"e{number}") for number in range(5000)]
    with Job(settings_for(tmp_path), tmp_path) as job:
        with pipe.open("wb") as writer:
            for first in range(0, len(lines), 1000):
                writer.write(b"".join(line + b"\n" for line in lines[first : first + 1000]))
                writer.flush()
                time.sleep(0.1)  # the pipe is empty meanwhile, which is not the end
        [ended] = job.wait()

    assert ended.status == 0, ended.stderr
    check(tmp_path, lines)


def test_a_writer_that_writes_nothing_is_an_end(pipe: Path) -> None:
    part = LinesSource(str(pipe)).build_part("source", "0", None)
    assert not list(part.next_batch())
    os.close(os.open(pipe, os.O_WRONLY))
    assert len(list(part.next_batch())) == 1  # the batch that says so
    with pytest.raises(StopIteration):
        part.next_batch()
    part.close()
