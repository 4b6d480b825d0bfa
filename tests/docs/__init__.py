"""The guide runs: its commands, its tables, its examples."""
