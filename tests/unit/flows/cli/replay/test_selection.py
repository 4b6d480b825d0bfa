"""Which records are replayed, with which headers, and never twice."""

from flows.cli.replay.selection import DeadLetter, Filters, Origin, ReplayLog, Selection

TOPIC = "raw"


def dead_letter(
    offset: int = 7,
    *,
    verdict: bytes = b"invalid",
    reason: bytes = b"schema",
    key: bytes | None = b"k",
    own: list[tuple[str, bytes | None]] | None = None,
    timestamp_ms: int = 1_000_000,
    topic: bytes = b"raw",
    topic_id: bytes = b"id",
) -> DeadLetter:
    name = "dedup.matched" if verdict == b"duplicate" else "dedup.reason"
    headers: list[tuple[str, bytes | None]] = [
        *(own or []),
        ("dedup.verdict", verdict),
        ("dedup.topic", topic),
        ("dedup.topic.id", topic_id),
        ("dedup.partition", b"2"),
        ("dedup.offset", b"%d" % offset),
        (name, reason),
        ("__connect.errors.topic", topic),
    ]
    return DeadLetter(b"value", key, headers, timestamp_ms)


def selection(filters: Filters | None = None, to: str = TOPIC) -> Selection:
    return Selection(TOPIC, to, filters or Filters(), ReplayLog())


def matches(filters: Filters, record: DeadLetter) -> bool:
    return selection(filters).pick(record) is not None


def test_a_replay_is_the_input_record_with_a_count() -> None:
    own = [("trace", b"\x00\xff"), ("empty", None), ("trace", b"2")]
    replay = selection().pick(dead_letter(own=list(own)))

    assert replay is not None
    assert (replay.value, replay.key, replay.timestamp_ms) == (b"value", b"k", 1_000_000)
    assert replay.origin == Origin(TOPIC, "id", 2, 7)
    assert replay.headers == [*own, ("dedup.replays", b"1")]


def test_each_replay_is_counted_in_one_header() -> None:
    replay = selection().pick(dead_letter(own=[("dedup.replays", b"1"), ("a", b"b")]))

    assert replay is not None
    assert replay.headers == [("a", b"b"), ("dedup.replays", b"2")]


def test_a_count_that_is_no_number_starts_again() -> None:
    for written in (b"", b"x", None, b"-1"):
        replay = selection().pick(dead_letter(own=[("dedup.replays", written)]))
        assert replay is not None
        assert replay.headers == [("dedup.replays", b"1")]


def test_headers_of_an_earlier_job_are_the_records_own() -> None:
    own: list[tuple[str, bytes | None]] = [
        ("dedup.verdict", b"late"),
        ("dedup.topic", b"of another job"),
    ]
    replay = selection().pick(dead_letter(own=list(own)))

    assert replay is not None
    assert replay.headers == [*own, ("dedup.replays", b"1")]


def test_an_origin_goes_to_one_topic_once() -> None:
    replayed = ReplayLog()
    replayed.add(TOPIC, TOPIC, "id", 2, [7])
    back = Selection(TOPIC, TOPIC, Filters(), replayed)
    elsewhere = Selection(TOPIC, "elsewhere", Filters(), replayed)

    assert [back.pick(dead_letter(7)), elsewhere.pick(dead_letter(7))] != [None, None]
    assert back.counts["before"] == 1
    assert elsewhere.pick(dead_letter(7)) is None  # an output may hold it twice: at least once
    assert back.pick(dead_letter(8)) is not None


def test_a_topic_made_again_has_other_records_at_the_same_offsets() -> None:
    chosen = selection()

    assert chosen.pick(dead_letter(topic_id=b"before")) is not None
    assert chosen.pick(dead_letter(topic_id=b"after")) is not None
    assert chosen.pick(dead_letter(topic_id=b"before")) is None


def test_records_of_other_inputs_and_jobs_are_left_alone() -> None:
    chosen = selection()
    broken = DeadLetter(b"v", None, [("dedup.verdict", b"late"), ("dedup.topic", b"raw")], 0)

    assert chosen.pick(DeadLetter(b"v", None, None, 0)) is None
    assert chosen.pick(dead_letter(topic=b"another input")) is None
    assert chosen.pick(broken) is None
    assert chosen.counts == {"read": 3, "foreign": 3}


def test_filters_by_reason_and_match() -> None:
    only = Filters(reasons=frozenset(("json", "event_id")))

    assert matches(only, dead_letter(reason=b"json"))
    assert not matches(only, dead_letter(reason=b"schema"))
    assert matches(only, dead_letter(verdict=b"duplicate", reason=b"event_id"))
    assert not matches(only, dead_letter(verdict=b"late", reason=b"301.5"))


def test_filters_by_key() -> None:
    only = Filters(keys=frozenset((b"k", b"")))

    assert [matches(only, dead_letter(key=key)) for key in (b"k", b"", None, b"K")] == [
        True,
        True,
        False,
        False,
    ]


def test_filters_by_time_from_since_up_to_before_until() -> None:
    only = Filters(since=10.0, until=20.0)
    times = (9_999, 10_000, 19_999, 20_000)

    assert [matches(only, dead_letter(timestamp_ms=time)) for time in times] == [
        False,
        True,
        True,
        False,
    ]


def test_filters_by_how_often_a_record_came_back() -> None:
    only = Filters(max_replays=2)
    counts = (b"1", b"2", b"3")

    assert matches(only, dead_letter())
    assert [matches(only, dead_letter(own=[("dedup.replays", n)])) for n in counts] == [
        True,
        False,
        False,
    ]


def test_reasons_are_counted_for_the_summary() -> None:
    chosen = selection()
    for offset, verdict, reason in (
        (1, b"invalid", b"json"),
        (2, b"invalid", b"json"),
        (3, b"late", b"301.5"),
        (4, b"duplicate", b"event_id"),
    ):
        chosen.pick(dead_letter(offset, verdict=verdict, reason=reason))

    assert chosen.reasons == {"json": 2, "late": 1, "event_id": 1}
