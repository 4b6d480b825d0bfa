"""How a process ends: with its last steps, but without waiting for one that hangs."""

import subprocess
import sys
import textwrap

import pytest

from connectors import shutdown
from connectors.shutdown import StopQuestions

# Python takes a second to start, the last steps have four; a step that hangs takes forever.
_SECONDS = 30.0


def run(program: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; fails if there is none."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )


def test_last_steps_are_done_at_exit_and_not_before() -> None:
    ended = run(r"""
        import sys
        from connectors.shutdown import run_at_exit

        # Both run at the same time: print would write the word and the end of its line apart.
        run_at_exit(lambda: sys.stdout.write("one\n"), "one was missed")
        run_at_exit(lambda: sys.stdout.write("other\n"), "other was missed")
        print("end", flush=True)
    """)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("end\n")
    assert sorted(ended.stdout.split()) == ["end", "one", "other"]


def test_a_step_that_hangs_keeps_neither_the_others_nor_the_end() -> None:
    ended = run("""
        from threading import Event
        from connectors.shutdown import run_at_exit

        for _ in range(2):
            run_at_exit(Event().wait, "the brokers do not answer")
        run_at_exit(lambda: print("done", flush=True), "was missed")
    """)
    assert (ended.returncode, ended.stdout) == (0, "done\n")
    assert ended.stderr == "the brokers do not answer\n"


def test_a_consumer_that_nobody_closed_does_not_keep_the_process() -> None:
    """A commit that cannot be sent: closing would wait 45 s for it."""
    ended = run("""
        from connectors.librdkafka.column_consumer import ColumnConsumer

        consumer = ColumnConsumer({"bootstrap.servers": "127.0.0.1:1", "group.id": "g"})
        consumer.add({("topic", 0): 0})
        consumer.commit({("topic", 0): 5}, wait=False)
    """)
    assert ended.returncode == 0


def test_processes_are_asked_now_and_then_where_there_are_several(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    questions = StopQuestions(lambda: now[0])
    assert not questions.due()
    monkeypatch.setattr(shutdown.has_peers, "is_set", lambda: True)
    asked = []
    for _ in range(20):
        asked.append(questions.due())
        now[0] += 0.125
    assert asked == [True, False, False, False] * 5
