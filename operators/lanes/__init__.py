"""One shard of keys: its state, watermark, snapshot and placement."""
