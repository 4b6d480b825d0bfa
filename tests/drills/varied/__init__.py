"""Drills that vary: each seed draws settings, records, kills and restarts from a table.

The other drills repeat what is known to go wrong.  These look for what nobody has thought of:
every seed is another combination, and what is counted afterwards owes nothing to the job's code.
`python -m tests.drills --varied --seeds 50` runs them.
"""
