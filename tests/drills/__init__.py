"""Drills: things are killed, stopped, cut and lost under the job, then everything is counted.

`python -m tests.drills` runs them all on brokers of its own; tests/integration/test_drills.py
runs short ones.
"""
