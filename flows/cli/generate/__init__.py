"""`dedup generate`: labelled event streams, to a file or to Kafka."""
