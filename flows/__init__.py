"""What a user runs: the main job, its settings and the companion command."""
