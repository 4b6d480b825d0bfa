"""A job stood still, without a word, for as long as the wall clock had stepped back.

Bytewax asks sources by that clock.  tests/unit/flows/process/test_clock.py has what is said when.
"""

from collections import Counter
from pathlib import Path

import pytest

from tests.integration.conftest import MakeTopics
from tests.integration.job import Job, finish
from tests.integration.topics import Topics
from tests.model import Record
from tests.wall_clock import COMPILER, WallClock

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C compiler, cc")
SECONDS = 60.0


def record(number: int) -> Record:
    value = b'{"event_id":"%d","user_id":"u","event_type":"t","timestamp":1700000000,"data":{}}'
    return Record(0, number, b"k", value % number)


def unique(topics: Topics) -> int:
    return len(topics.read(["unique"], settled=False)["unique"])


@pytest.fixture
def topics(make_topics: MakeTopics) -> Topics:
    topics = make_topics(1)
    for topic in topics.outputs.values():
        topics.create(topic)
    topics.produce([record(0)])
    return topics


def test_far_enough_the_process_ends_and_a_restart_goes_on(topics: Topics, tmp_path: Path) -> None:
    clock = WallClock(tmp_path)
    settings = topics.settings | clock.environ
    with Job(settings | {"DEDUP_STOP_AT_END": "false"}, tmp_path) as job:
        job.wait_until(lambda: unique(topics) == 1)
        clock.move(-7200)
        topics.produce([record(1), record(0)])
        [ended] = job.wait(SECONDS)

    assert ended.status == 1
    assert ended.error.startswith("dedup: the wall clock stepped back, and nothing can be read ")
    assert "WARNING dedup: the wall clock stepped back by about 7" in ended.stderr
    finish(Job(settings, tmp_path))
    written = topics.read()
    assert {verdict: len(found) for verdict, found in written.items() if found} == {
        "unique": 2,
        "duplicate": 1,
    }


def test_a_little_it_says_so_and_waits(topics: Topics, tmp_path: Path) -> None:
    clock = WallClock(tmp_path)
    settings = topics.settings | clock.environ | {"DEDUP_STOP_AT_END": "false"}
    with Job(settings, tmp_path) as job:
        job.wait_until(lambda: unique(topics) == 1)
        clock.move(-5)
        topics.produce([record(1)])
        job.wait_until(lambda: unique(topics) == 2, SECONDS)
        job.wait_until(lambda: "the wall clock stepped back by about" in job.stderr, SECONDS)
        lines = Counter(line.partition("WARNING ")[2] for line in job.stderr.splitlines())
    [said] = [line for line in lines.elements() if "clock" in line]
    assert said.startswith("dedup: the wall clock stepped back by about ")
