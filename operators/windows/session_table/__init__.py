"""Sessions by key: when each began and was last seen."""
