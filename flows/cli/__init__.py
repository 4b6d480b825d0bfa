"""The `dedup` command: each sub-command is one module or one package."""
