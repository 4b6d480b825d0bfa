"""librdkafka by columns: records are read and produced without an object for each."""
