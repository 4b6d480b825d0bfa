"""What touches the world: Kafka, the changelog and files."""
