"""What `waxctl dataflow deploy` uploads: the flow itself is in the image."""

from flows.dedup import flow

__all__ = ["flow"]
