"""Reads and produces records by columns, without a Python object for each."""
