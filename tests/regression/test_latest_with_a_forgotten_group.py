"""A job that began at `latest` began at a later `latest` once the brokers had forgotten its group.

Brokers delete a group's offsets after a week without commits.  The job committed the new end,
and every start after that failed: records are missing between.
"""

from collections import Counter
from pathlib import Path

from tests.integration.conftest import MakeTopics
from tests.integration.job import Job, finish
from tests.integration.streams import events

SECONDS = 30.0


def test_it_goes_on_where_its_lanes_are(make_topics: MakeTopics, tmp_path: Path) -> None:
    topics = make_topics(2)
    settings = topics.settings | {"DEDUP_START": "latest"}
    topics.produce(events(50, seed=1, partitions=2))
    finish(Job(settings, tmp_path))
    first = topics.produce(events(200, seed=2, partitions=2))
    finish(Job(settings, tmp_path))
    admin = topics.admin()
    admin.delete_consumer_groups([topics.prefix])[topics.prefix].result(SECONDS)

    second = topics.produce(events(300, seed=3, partitions=2))
    finish(Job(settings, tmp_path))
    third = topics.produce(events(10, seed=4, partitions=2))
    finish(Job(settings, tmp_path))

    found = Counter(record.value for read in topics.read().values() for record in read)
    assert found == Counter(record.value for record in (*first, *second, *third))
