"""From settings to the parts of the dataflow: specs, which are plain values, and parts."""
