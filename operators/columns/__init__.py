"""Memory of a batch: byte columns, growable arrays, compiled loops."""
