"""Fixtures of the tests that run the job as a whole, for faults that show only there."""

from tests.integration.conftest import failures, harness, make_harness, make_topics

__all__ = ["failures", "harness", "make_harness", "make_topics"]
