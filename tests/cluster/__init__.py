"""The job on a cluster of three brokers, with one fault a test: `make test-cluster`."""
