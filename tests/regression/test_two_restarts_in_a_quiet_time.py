"""After two restarts without a new record the job spoke of two clusters, which there were not.

The first restart had written the lanes' snapshots again, but not those of the sinks, which got
nothing.  The second one found that they differ, and read the whole changelog.
"""

import signal
from pathlib import Path

import pytest

from tests.integration.conftest import MakeTopics
from tests.integration.endpoints import Endpoints
from tests.integration.job import Job, finish, recovery_directory
from tests.integration.streams import assert_same, events, expected_in_any_order, outputs

EPOCHS_SECONDS = 2.5


def test_they_go_on_from_their_snapshots(make_topics: MakeTopics, tmp_path: Path) -> None:
    """Whether nothing happens in the quiet time, or the partitions become idle.

    Each restart finds what the one before it has left.
    """
    topics = make_topics(2)
    at = Endpoints()
    settings = topics.settings | {"DEDUP_METRICS_PORT": str(at.port)}
    recovery = recovery_directory(tmp_path / "recovery")
    drafts = events(400, seed=1, partitions=2)
    records = topics.produce(drafts[:300])
    finish(Job(settings, tmp_path, recovery=recovery))

    for idle_seconds in ("600", "1", "600"):
        going = settings | {"DEDUP_STOP_AT_END": "false", "DEDUP_IDLE_SECONDS": idle_seconds}
        with Job(going, tmp_path, recovery=recovery) as job:
            job.wait_until(lambda: at.ready)
            assert at.total("dedup_restored_keys") > 0
            with pytest.raises(AssertionError, match="not within"):
                job.wait_until(lambda: False, EPOCHS_SECONDS)
            job.send(signal.SIGTERM)
            [ended] = job.wait()
        assert ended.status == 0
        assert "two clusters" not in ended.stderr
        assert "keys from" not in ended.stderr  # the changelog's

    records += topics.produce(drafts[300:])
    finish(Job(settings, tmp_path, recovery=recovery))
    assert_same(outputs(topics.read()), expected_in_any_order(records, topics.input))
