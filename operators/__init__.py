"""What decides: decoding, keys, windows, watermark, stores. No Kafka in here."""
