"""What waxctl uploads."""
