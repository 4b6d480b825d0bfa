"""Drills: things are killed, stopped, cut and lost under the job, then everything is counted.

`python -m tests.drills` runs them all on brokers of its own; test_exactly_once_drills.py and
test_varied_drills.py in tests/integration run short ones.
"""
