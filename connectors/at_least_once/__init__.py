"""The at-least-once sinks and their producer."""
