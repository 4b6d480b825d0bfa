"""A recovery directory whose snapshots name classes that have moved ended in a traceback.

The files in data/before_rooms were written by commit df04581: the recovery partition of an
embedded run with statistics and of a run on Kafka, 50 records with 40 event ids each; the two
changelog records of the latter, and the RocksDB folder of its lane 0.
"""

import base64
import json
import pickle
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from connectors.exactly_once.changelog_format import unpack
from flows.assembly.specs import bound_of, disk_stores
from flows.launch import Launch
from flows.process.recovery import check_recovery_directory
from flows.process.snapshot_classes import unknown_classes
from flows.settings.load import load_settings
from operators.errors import StateError
from operators.lanes.lane_snapshot import LaneSnapshot
from tests.integration.embedded import event, settings_for
from tests.integration.job import Job, fail

DATA: Final = Path(__file__).parent / "data" / "before_rooms"
KINDS: Final = ["embedded", "kafka"]


def recovery_of(kind: str, folder: Path) -> Path:
    folder.mkdir()
    shutil.copy(DATA / f"{kind}-part-0.db", folder / "part-0.sqlite3")
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_the_directory_is_refused_and_stays_as_it_is(kind: str, tmp_path: Path) -> None:
    recovery = recovery_of(kind, tmp_path / "recovery")

    with pytest.raises(StateError, match=r"was written by another version of this job") as error:
        check_recovery_directory(Launch(recovery, 0, 1, 1))

    assert f"mkdir -p {recovery} && python -m bytewax.recovery {recovery} 1" in str(error.value)
    partition = recovery / "part-0.sqlite3"
    assert partition.read_bytes() == (DATA / f"{kind}-part-0.db").read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_the_job_ends_with_one_line(kind: str, tmp_path: Path) -> None:
    recovery = recovery_of(kind, tmp_path / "recovery")
    settings = settings_for(tmp_path, event("e-0") + b"\n")
    if kind == "kafka":
        settings = {"DEDUP_BROKERS": "127.0.0.1:1"}

    line = fail(Job(settings, tmp_path, recovery=recovery))

    assert f"the recovery directory {recovery} was written by another version" in line
    partition = recovery / "part-0.sqlite3"
    assert partition.read_bytes() == (DATA / f"{kind}-part-0.db").read_bytes()
    assert not (tmp_path / "out").exists()


def test_states_that_name_no_class_hide_no_others(tmp_path: Path) -> None:
    """A lane that has written nothing yet has the sink state None."""
    recovery = recovery_of("kafka", tmp_path / "recovery")
    with closing(sqlite3.connect(recovery / "part-0.sqlite3")) as database, database:
        database.execute("DELETE FROM snaps WHERE step_id NOT LIKE '%sink%'")
        database.execute(
            "INSERT INTO snaps (step_id, state_key, snap_epoch, ser_change) "
            "SELECT step_id, 'lane', -1, ? FROM snaps LIMIT 1",
            (pickle.dumps(None),),
        )
        assert database.execute("SELECT count(*) FROM snaps").fetchone()[0] > 1

    with pytest.raises(StateError, match="was written by another version of this job"):
        check_recovery_directory(Launch(recovery, 0, 1, 1))


def test_a_class_that_its_old_module_still_imports_has_moved() -> None:
    """At least once without statistics a directory names no other class."""
    assert unknown_classes(b"\x80\x02coperators.deduplicate\nLaneSnapshot\n.") == [
        "operators.deduplicate.LaneSnapshot"
    ]


def test_a_lane_that_knows_partitions_by_number_alone_is_refused() -> None:
    """Its class had other fields: it moved, so that no old one is read."""
    assert unknown_classes(b"\x80\x02coperators.lanes.snapshot\nLaneSnapshot\n.") == [
        "operators.lanes.snapshot.LaneSnapshot"
    ]
    assert not unknown_classes(pickle.dumps(LaneSnapshot))


def test_the_changelog_and_a_rocksdb_folder_are_refused(tmp_path: Path) -> None:
    """They know partitions by number only, not by Kafka's id of their topic."""
    for value in json.loads((DATA / "changelog.json").read_text()):
        with pytest.raises(
            StateError, match=r"records of version 1, .* run the version that wrote"
        ):
            unpack(base64.b64decode(value))

    shutil.copytree(DATA / "rocksdb", tmp_path / "early" / "lane-000")
    settings = load_settings(
        {
            "DEDUP_BROKERS": "127.0.0.1:1",
            "DEDUP_APP_ID": "early",
            "DEDUP_STATE": "rocksdb",
            "DEDUP_STATE_DIR": str(tmp_path),
            "DEDUP_LANES": "2",
            "DEDUP_SHARD_BY": '["event_id"]',
        }
    )
    open_store = disk_stores(settings, bound_of(settings))
    assert open_store is not None
    with pytest.raises(StateError, match="was written with version=1, which is 2 now"):
        open_store(0)
