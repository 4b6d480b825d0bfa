"""Tables that several tests share."""
