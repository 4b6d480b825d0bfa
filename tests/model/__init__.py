"""The slow, obvious model of the rules in docs/reference.

Written from events.md, keys.md, verdicts.md and output-records.md there, and from nothing else: it
imports nothing of ours, forgets nothing, and finds a match by looking at every unique record so
far.  Where these pages leave a choice, a comment that begins with "Choice:" says what was taken.
"""

from tests.model.json_values import NotJsonError, canonical, canonical_text, number_text, parse
from tests.model.outputs import Free, HeaderValue, output_headers, output_line
from tests.model.reading import MISSING, Event, field, read
from tests.model.records import Keys, Record, Settings, Verdict
from tests.model.rules import Model
from tests.model.similarity import jaccard, levenshtein, normal, shingles, similarity
from tests.model.statistics import count_windows
from tests.model.times import rfc3339

__all__ = [
    "MISSING",
    "Event",
    "Free",
    "HeaderValue",
    "Keys",
    "Model",
    "NotJsonError",
    "Record",
    "Settings",
    "Verdict",
    "canonical",
    "canonical_text",
    "count_windows",
    "field",
    "jaccard",
    "levenshtein",
    "normal",
    "number_text",
    "output_headers",
    "output_line",
    "parse",
    "read",
    "rfc3339",
    "shingles",
    "similarity",
]
