"""JSON objects: a fast path over columns of records, and parsing for the careful path."""
