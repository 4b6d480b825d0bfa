"""From bytes to event time, keys and lane; one module a format."""
