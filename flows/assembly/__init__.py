"""From settings to the parts of the dataflow."""
