"""Findings: each kind is counted, and the first examples are shown."""

from collections.abc import Iterator

from flows.cli.audit.findings import Findings, Kind


def test_without_faults_there_is_nothing_to_report() -> None:
    findings = Findings()
    findings.add(Kind.MISSING, 0, [])

    assert not findings
    assert list(findings.lines()) == []


def test_kinds_are_reported_in_their_order_with_the_first_examples() -> None:
    findings = Findings(show=2)
    findings.add(Kind.ALTERED, 1, ["a"])
    findings.add(Kind.MISSING, 1200, iter("bcd"))
    findings.add(Kind.MISSING, 1, ["e"])

    assert findings
    assert list(findings.lines()) == [
        "1,201 input records have no answer:",
        "  b",
        "  c",
        "  … and 1,199 more",
        "1 output records differ from the input record that they answer:",
        "  a",
    ]


def test_examples_that_are_not_shown_are_not_made() -> None:
    made = []

    def examples() -> Iterator[str]:
        for name in "abc":
            made.append(name)
            yield name

    Findings(show=1).add(Kind.MISSING, 3, examples())

    assert made == ["a"]
