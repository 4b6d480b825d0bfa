"""From bytes to event time, keys and lane; one module or folder for each format."""
