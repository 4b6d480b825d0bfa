"""Keys in RocksDB, with the newest in memory."""
