"""The audit: what the model says is right, and a single change of it is found."""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, assume, event, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from flows.cli.audit import accepted_times, invalid_records
from flows.cli.audit.proof import Proof
from flows.settings.load import load_settings
from flows.settings.model import Settings
from tests import strategies
from tests.memory_topics import Output, audit_in_memory, outputs_of
from tests.model import Record, Verdict
from tests.model import Settings as ModelSettings
from tests.pipeline import model_verdicts, place_of
from tests.strategies import WINDOWS, Stream

# Drawing a stream is what takes the time.
_FEW, _MANY = (
    hypothesis_settings(
        max_examples=examples,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
            HealthCheck.filter_too_much,
        ],
    )
    for examples in (15, 80)
)
Answer = tuple[Record, Verdict]


@pytest.fixture(autouse=True, scope="module")
def _clock_of_the_streams() -> Iterator[None]:
    """The streams are decided at a fixed time, which is before this program was there."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (accepted_times, invalid_records):
            patch.setattr(module, "NO_JOB_BEFORE", strategies.NOW)
        yield


def settings_of(model: ModelSettings, lanes: int) -> Settings:
    """The program's settings for the model's."""
    values: dict[str, object] = {
        "LANES": lanes,
        "KEYS": json.dumps(model.keys),
        "CONTENT_IGNORE": json.dumps(model.content_ignore),
        "TIME": model.time,
        "SCHEMA": model.schema,
        "WINDOW": model.window,
        "WINDOW_SECONDS": model.window_seconds,
        "ALLOWED_LATENESS_SECONDS": model.lateness,
        "MAX_FUTURE_SECONDS": model.max_future,
        "BROKERS": "localhost:1",
    }
    if model.shard_by is not None:
        values["SHARD_BY"] = json.dumps(model.shard_by)
    if model.similarity is not None:
        values |= {
            "SIMILARITY": model.similarity,
            "SIMILARITY_METRIC": model.similarity_metric,
            "SIMILARITY_SHINGLE": model.shingle,
            "SIMILARITY_FIELDS": json.dumps(model.similarity_fields),
            "SIMILARITY_SECONDS": model.similarity_seconds,
        }
    return load_settings({f"DEDUP_{name}": str(value) for name, value in values.items()})


@st.composite
def streams(draw: st.DrawFn, *, partitions: int = 3) -> Stream:
    settings = draw(strategies.settings(windows=WINDOWS, similar=draw(st.booleans())))
    if settings.similarity_seconds == 0:  # less than the program takes
        settings = replace(settings, similarity_seconds=0.001)
    stream = draw(strategies.streams(settings, partitions=partitions, idle=draw(st.booleans())))
    if settings.time != "@record":
        return stream
    # A record's own timestamp is above 0 in Kafka, else there is none.
    steps = [
        replace(
            step,
            record=replace(
                step.record,
                timestamp_ms=None
                if step.record.timestamp_ms is None
                else max(abs(step.record.timestamp_ms), 1),
            ),
        )
        for step in stream.steps
    ]
    return replace(stream, steps=tuple(steps))


def answers_of(stream: Stream) -> list[Answer]:
    verdicts = model_verdicts(stream)
    return [(step.record, verdicts[place_of(step)]) for step in stream.steps]


def audit(stream: Stream, outputs: Sequence[Output], lanes: int = 4) -> Proof:
    records = sorted((step.record for step in stream.steps), key=lambda one: one.offset)
    return audit_in_memory(settings_of(stream.settings, lanes), stream.partitions, records, outputs)


@_MANY
@given(stream=streams())
def test_what_the_model_says_is_proved(stream: Stream) -> None:
    answers = answers_of(stream)
    for _, verdict in answers:
        event(verdict.kind)
    proof = audit(stream, outputs_of(stream.settings, answers))

    assert not proof.findings, list(proof.findings.lines())


Change = Callable[[Stream, list[Answer], random.Random], "list[Output] | None"]
CHANGES: dict[str, Change] = {}


def change(function: Change) -> Change:
    CHANGES[function.__name__] = function
    return function


def pick(answers: list[Answer], draw: random.Random, *kinds: str) -> int | None:
    """Number of an answer of one of some kinds."""
    mine = [at for at, (_, verdict) in enumerate(answers) if verdict.kind in kinds]
    return draw.choice(mine) if mine else None


def with_verdict(
    stream: Stream, answers: list[Answer], at: int | None, verdict: Verdict
) -> list[Output] | None:
    """Outputs with one answer in form, but of another verdict."""
    if at is None:
        return None
    changed = [*answers]
    changed[at] = answers[at][0], verdict
    return outputs_of(stream.settings, changed)


@change
def an_answer_is_missing(
    stream: Stream, answers: list[Answer], draw: random.Random
) -> list[Output] | None:
    outputs = outputs_of(stream.settings, answers)
    del outputs[draw.randrange(len(outputs))]
    return outputs


@change
def an_answer_is_doubled(
    stream: Stream, answers: list[Answer], draw: random.Random
) -> list[Output] | None:
    outputs = outputs_of(stream.settings, answers)
    return [*outputs, draw.choice(outputs)]


@change
def an_answer_is_in_another_output(
    stream: Stream, answers: list[Answer], draw: random.Random
) -> list[Output] | None:
    outputs = outputs_of(stream.settings, answers)
    one = draw.choice(outputs)
    others = [kind for kind in ("unique", "duplicate", "late", "invalid") if kind != one.verdict]
    one.verdict = draw.choice(others)
    return outputs


@change
def a_value_is_changed(
    stream: Stream, answers: list[Answer], draw: random.Random
) -> list[Output] | None:
    outputs = outputs_of(stream.settings, answers)
    one = draw.choice(outputs)
    one.record = replace(one.record, value=(one.record.value or b"") + b" ")
    return outputs


@change
def a_header_is_missing(
    stream: Stream, answers: list[Answer], draw: random.Random
) -> list[Output] | None:
    at = pick(answers, draw, "duplicate", "late", "invalid")
    if at is None:
        return None
    outputs = outputs_of(stream.settings, answers)
    own = len(answers[at][0].headers or [])
    del outputs[at].headers[draw.randrange(own, len(outputs[at].headers))]
    return outputs


@change
def a_unique_record_is_a_duplicate(
    stream: Stream, answers: list[Answer], draw: random.Random
) -> list[Output] | None:
    # In sessions a record that was unique can have been joined to another session since.
    at = pick(answers, draw, "unique")
    if at is None or stream.settings.window == "session":
        return None
    original, _ = draw.choice(answers)
    keys = draw.choice(stream.settings.keys)
    verdict = Verdict(
        "duplicate",
        matched=keys if isinstance(keys, str) else ",".join(keys),
        original=(original.partition, original.offset),
    )
    return with_verdict(stream, answers, at, verdict)


@change
def a_unique_record_is_a_near_duplicate(
    stream: Stream, answers: list[Answer], draw: random.Random
) -> list[Output] | None:
    original, _ = draw.choice(answers)
    place = original.partition, original.offset
    verdict = Verdict("duplicate", matched="similar", original=place, similarity=1.0)
    return with_verdict(stream, answers, pick(answers, draw, "unique"), verdict)


@change
def an_original_does_not_exist(
    stream: Stream, answers: list[Answer], draw: random.Random
) -> list[Output] | None:
    at = pick(answers, draw, "duplicate")
    if at is None:
        return None
    place = draw.choice([(99, 0), (0, 10**6)])
    return with_verdict(stream, answers, at, replace(answers[at][1], original=place))


@change
def an_original_comes_after_its_duplicate(
    stream: Stream, answers: list[Answer], draw: random.Random
) -> list[Output] | None:
    at = pick(answers, draw, "duplicate")
    if at is None:
        return None
    record = answers[at][0]
    later = [
        (one.partition, one.offset)
        for one, _ in answers
        if one.partition == record.partition and one.offset > record.offset
    ]
    if not later:
        return None
    return with_verdict(stream, answers, at, replace(answers[at][1], original=draw.choice(later)))


@change
def a_good_record_is_invalid(
    stream: Stream, answers: list[Answer], draw: random.Random
) -> list[Output] | None:
    reason = draw.choice([one for one in strategies.REASONS if one != "future"])
    at = pick(answers, draw, "unique", "duplicate", "late")
    return with_verdict(stream, answers, at, Verdict("invalid", reason=reason))


@change
def a_reason_is_another(
    stream: Stream, answers: list[Answer], draw: random.Random
) -> list[Output] | None:
    at = pick(answers, draw, "invalid")
    if at is None:
        return None
    reason = draw.choice([one for one in strategies.REASONS if one != answers[at][1].reason])
    return with_verdict(stream, answers, at, Verdict("invalid", reason=reason))


@change
def an_invalid_record_is_valid(
    stream: Stream, answers: list[Answer], draw: random.Random
) -> list[Output] | None:
    # Whether a record was in the future only the job's clock knew.
    at = pick([one for one in answers if one[1].reason != "future"], draw, "invalid")
    if at is None:
        return None
    answers = [one for one in answers if one[1].reason != "future"]
    verdict = draw.choice([Verdict("unique"), Verdict("late", late_by=1e6)])
    return with_verdict(stream, answers, at, verdict)


@change
def a_duplicate_is_unique(
    stream: Stream, answers: list[Answer], draw: random.Random
) -> list[Output] | None:
    # A session that duplicates have extended is longer than its unique records tell.
    at = pick(answers, draw, "duplicate")
    if at is None or answers[at][1].matched == "similar" or stream.settings.window == "session":
        return None
    return with_verdict(stream, answers, at, Verdict("unique"))


@change
def a_similarity_is_another(
    stream: Stream, answers: list[Answer], draw: random.Random
) -> list[Output] | None:
    at = pick(answers, draw, "duplicate")
    if at is None or answers[at][1].similarity is None:
        return None
    said = answers[at][1].similarity or 0.0
    return with_verdict(stream, answers, at, replace(answers[at][1], similarity=said - 0.01))


@pytest.mark.parametrize("name", sorted(CHANGES))
@_FEW
@given(stream=streams(), seed=st.integers(0, 1_000_000))
def test_a_single_change_is_found(name: str, stream: Stream, seed: int) -> None:
    outputs = CHANGES[name](stream, answers_of(stream), random.Random(seed))
    assume(outputs is not None)
    assert outputs is not None

    assert audit(stream, outputs).findings


LATE: dict[str, Change] = {}


def late(function: Change) -> Change:
    LATE[function.__name__] = function
    return function


@late
def a_record_is_late_that_is_not(
    stream: Stream, answers: list[Answer], draw: random.Random
) -> list[Output] | None:
    at = pick(answers, draw, "unique", "duplicate")
    late_by = stream.settings.lateness + draw.choice([0.5, 1.0, 1000.0])
    return with_verdict(stream, answers, at, Verdict("late", late_by=late_by))


@late
def a_late_record_is_unique(
    stream: Stream, answers: list[Answer], draw: random.Random
) -> list[Output] | None:
    return with_verdict(stream, answers, pick(answers, draw, "late"), Verdict("unique"))


@late
def the_seconds_of_a_late_record_are_others(
    stream: Stream, answers: list[Answer], draw: random.Random
) -> list[Output] | None:
    at = pick(answers, draw, "late")
    if at is None:
        return None
    seconds = answers[at][1].late_by or 0.0
    factor = draw.choice([0.5, 0.999, 1.001, 2.0])
    return with_verdict(stream, answers, at, Verdict("late", late_by=seconds * factor))


@pytest.mark.parametrize("name", sorted(LATE))
@_FEW
@given(stream=streams(partitions=1), seed=st.integers(0, 1_000_000))
def test_of_one_partition_lateness_is_known(name: str, stream: Stream, seed: int) -> None:
    # What was in the future for a while may have moved the watermark later.
    assume(all(verdict.reason != "future" for _, verdict in answers_of(stream)))
    outputs = LATE[name](stream, answers_of(stream), random.Random(seed))
    assume(outputs is not None)
    assert outputs is not None

    assert audit(stream, outputs, lanes=1).findings
