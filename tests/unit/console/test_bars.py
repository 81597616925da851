"""Bars are for those who watch; a log gets lines, seldom, and no carriage returns."""

import io
import os
import sys
from types import SimpleNamespace

import pytest
from tqdm import tqdm

from accel_asr.console import bars
from accel_asr.console.bars import ProgressLines, bars_are_seen, line_is_due, progress_bar, quiet_library_imports


@pytest.mark.parametrize(
    ("since_s", "share", "due"),
    [
        (30, 0.05, True),
        (29.9, 1.0, False),  # a quick run: every 30 s
        (3_600, 0.049, False),  # a long one: every 5%
        (0, 0, False),
        (1e9, 0.0, False),
        (60, 0.5, True),
    ],
)
def test_a_line_is_due_every_30_s_or_5_percent_whichever_is_rarer(since_s: float, share: float, due: bool) -> None:
    assert line_is_due(since_s, share) is due


def test_an_hour_of_work_of_any_length_is_at_most_20_lines() -> None:
    for steps in (10, 100, 3_600, 100_000):  # in an hour
        told_s, told_step, lines = 0.0, 0, 0
        for step in range(1, steps + 1):
            now_s = 3_600 * step / steps
            if line_is_due(now_s - told_s, (step - told_step) / steps):
                told_s, told_step, lines = now_s, step, lines + 1
        assert lines <= 20


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("out", "err", "seen", "seen_beside_a_result"),
    [(True, True, True, True), (False, True, False, True), (True, False, False, False), (False, False, False, False)],
)
def test_a_bar_is_drawn_only_where_it_is_watched(
    out: bool, err: bool, seen: bool, seen_beside_a_result: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", Terminal() if out else io.StringIO())
    monkeypatch.setattr(sys, "stderr", Terminal() if err else io.StringIO())
    assert bars_are_seen() is seen
    assert bars_are_seen(result_on_stdout=True) is seen_beside_a_result
    assert isinstance(progress_bar(10, desc="evaluate", unit="utterances"), tqdm if seen else ProgressLines)
    for variable in bars.SWITCHES_OF_LIBRARIES:
        monkeypatch.delenv(variable, raising=False)
    quiet_library_imports()
    assert [os.environ.get(variable) for variable in bars.SWITCHES_OF_LIBRARIES] == ([None] * 2 if seen else ["1"] * 2)


def test_what_is_not_shown_prints_nothing_anywhere(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar(10, desc="evaluate", unit="utterances", is_shown=False) as bar:
        bar.update(10)
    assert capsys.readouterr() == ("", "")


def test_a_log_of_a_bar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now_s=0.0)
    monkeypatch.setattr(bars.time, "monotonic", lambda: clock.now_s)
    with progress_bar(1_000, desc="my\x1b[2J calls", unit="utterances") as bar:
        for _ in range(100):
            clock.now_s += 5
            bar.set_postfix_str("a\x1b[2J\rb")
            bar.update(10)
    printed = capsys.readouterr()
    assert printed.out == ""  # which may hold what the command is run for
    lines = printed.err.splitlines()
    assert lines[0] == r"my\x1b[2J calls: 120 of 1,000 utterances (12%), a\x1b[2J\rb"
    assert len(lines) == 8  # every minute of 500 s
    assert "\r" not in printed.err


@pytest.mark.parametrize("columns", ["0", "1", "80"])
def test_a_bar_survives_any_width_and_any_terminal(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress_bar(3, desc="evaluate \x1b]0;title\x07", unit="utterances", mininterval=0) as bar:
        bar.set_postfix_str("loss 1.000")
        for _ in range(3):
            bar.update()
    assert "\x07" not in terminal.getvalue()


def test_a_bar_on_a_terminal_that_has_gone_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(Terminal):
        def write(self, text: str) -> int:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(sys, "stdout", Gone())
    monkeypatch.setattr(sys, "stderr", Gone())
    with progress_bar(3, desc="evaluate", unit="utterances", mininterval=0) as bar:
        bar.update(3)
        assert bar.n == 3


def test_in_a_log_long_waiting_is_said_and_ever_more_seldom(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    clock = SimpleNamespace(now_s=0.0)
    monkeypatch.setattr(bars.time, "monotonic", lambda: clock.now_s)

    class Waiting:
        """Seven minutes in no time, then over."""

        def wait(self, seconds: float) -> bool:
            waits.append(seconds)
            clock.now_s += seconds
            return clock.now_s > 420

    bars._say_until(Waiting(), "getting it")  # type: ignore[arg-type]
    assert waits == [60, 120, 240, 480]
    assert capsys.readouterr().err.splitlines() == [f"getting it: {minutes} min so far" for minutes in (1, 3, 7)]


def test_short_waiting_is_not_said(capsys: pytest.CaptureFixture[str]) -> None:
    with bars.waiting_is_said("getting it"):
        pass
    assert capsys.readouterr() == ("", "")
