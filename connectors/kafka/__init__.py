"""Kafka: access, requests, topics, permissions, the source, and reading whole topics."""
