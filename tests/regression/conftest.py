"""Fixtures of the tests that run the job as a whole, for faults that show only there."""

from tests.integration.conftest import failures, make_rig, make_topics, rig

__all__ = ["failures", "make_rig", "make_topics", "rig"]
