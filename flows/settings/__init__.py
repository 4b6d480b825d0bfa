"""The settings: where they come from, their values, and which of them conflict."""
