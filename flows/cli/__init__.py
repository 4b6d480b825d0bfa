"""The `dedup` command: one module or package a sub-command."""
