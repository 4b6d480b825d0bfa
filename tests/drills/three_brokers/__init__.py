"""Drills on a cluster of three brokers: the job must go on through all that befalls them.

`python -m tests.drills --cluster` plays rounds drawn by seed; tests/cluster one fault a test.
"""
