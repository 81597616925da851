"""Whatever stdout and stderr are, printing raises nothing; and a command's result is never lost without a word."""

import errno
import io
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from accel_asr.console import printing
from accel_asr.console.printing import (
    OptionParser,
    UnfailingStream,
    json_to_print,
    percent,
    print_result,
    say,
    table_console,
)

REPOSITORY = Path(__file__).resolve().parents[3]


class Refusing(io.StringIO):
    """A stream of which every write, or flush, fails."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        raise self.error

    def flush(self) -> None:
        raise self.error


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EIO, "Input/output error"),
        BrokenPipeError(errno.EPIPE, "Broken pipe"),
        ValueError("I/O operation on closed file"),
    ],
    ids=["full disk", "terminal gone", "reader gone", "closed"],
)
def test_a_stream_that_fails_costs_nothing_but_what_is_printed(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", Refusing(error))
    monkeypatch.setattr(sys, "stderr", Refusing(error))
    say("hello")
    say("hello", to_stderr=True)
    table_console().print("hello")
    with pytest.raises(OSError, match=r"."):
        print_result("the transcript")


def test_a_full_disk_that_has_room_again_is_written_to_again() -> None:
    stream = Refusing(OSError(errno.ENOSPC, "No space left on device"))
    guarded = UnfailingStream(stream)
    guarded.write("lost")
    stream.write = lambda text: io.StringIO.write(stream, text)  # type: ignore[method-assign]
    guarded.write("there")
    assert stream.getvalue() == "there"


def test_streams_that_were_closed_before_the_start_take_what_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    say("hello")
    say("hello", to_stderr=True)
    table_console().print("hello")
    assert not printing.standard_output().isatty()
    with pytest.raises(OSError, match="closed"):
        print_result("the transcript")


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "ascii"])
def test_letters_that_the_encoding_lacks_are_written_as_their_numbers(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding, errors="strict"))
    say("Zażółć → ü")
    print_result("ł")
    table_console().print("łódź █")
    lines = written.getvalue().decode(encoding).splitlines()
    assert lines[0].startswith(r"Za\u017c")
    assert lines[0].endswith(r"\u2192 " + ("ü" if encoding != "ascii" else r"\xfc"))
    assert lines[1] == r"\u0142"
    assert r"\u0142" in lines[2]


def test_json_stays_json_on_a_stdout_that_lacks_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert json_to_print({"text": "fünf"}) == r'{"text": "f\u00fcnf"}'
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
    assert json_to_print({"text": "fünf ł"}) == '{"text": "fünf ł"}'
    assert json_to_print({"text": "a\x9bb\u202e"}) == r'{"text": "a\u009bb\u202e"}'  # a screen would act on them


@pytest.mark.parametrize("columns", ["0", "1", "9", "wide", "100000"])
@pytest.mark.parametrize("terminal", ["dumb", "xterm-256color", ""])
def test_tables_are_readable_however_wide_the_terminal_says_it_is(
    columns: str, terminal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rich.table import Table

    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("TERM", terminal)
    monkeypatch.setenv("NO_COLOR", "1")
    table = Table("word error rate", "[red]:smile:")
    table.add_row("12.34% (9.10 to 15.20)", "[/]")
    console = table_console(file=io.StringIO())
    console.print(table)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "12.34% (9.10 to 15.20) " in printed
    assert "[red]:smile:" in printed
    assert "[/]" in printed


def test_what_an_option_parser_does_not_understand_is_repeated_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        OptionParser(prog="accel-asr push").parse_args(["--\x1b]0;title\x07\nb"])
    assert exit_info.value.code == 2
    assert r"unrecognized arguments: --\x1b]0;title\x07\nb" in capsys.readouterr().err


# -- whole processes


PRINTING = """
import os, sys
from accel_asr.console.printing import guard_standard_streams, say
guard_standard_streams()
opened = open(sys.argv[1], "w")
assert opened.fileno() > 2, opened.fileno()
for number in range(3_000):
    print("a line of a library, ł", number)
    say(f"a line of ours, {number}")
    say("a line of ours", to_stderr=True)
opened.write("done")
assert sys.stdin.read() == ""
"""


@pytest.mark.parametrize(
    "redirection",
    ["<&- >&- 2>&-", "< /dev/null > /dev/full 2>&1", "< /dev/null 2>&1 | head -1", "< /dev/null 2> /dev/full | true"],
)
def test_a_process_works_to_its_end_whatever_becomes_of_its_streams(redirection: str, tmp_path: Path) -> None:
    script, result, code = tmp_path / "script.py", tmp_path / "result", tmp_path / "code"
    script.write_text(PRINTING, encoding="utf-8")
    command = f"({sys.executable} {script} {result}; echo $? > {code}) {redirection}"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": "latin-1"}
    finished = subprocess.run(
        ["sh", "-c", command], capture_output=True, check=False, timeout=60, env=environment, text=True
    )
    assert code.read_text().strip() == "0", finished.stderr
    assert result.read_text() == "done"
    assert "Exception ignored" not in finished.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_a_terminal_that_has_gone_costs_nothing(tmp_path: Path) -> None:
    import pty

    script, result = tmp_path / "script.py", tmp_path / "result"
    script.write_text(PRINTING, encoding="utf-8")
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, str(script), str(result)],
        stdin=subprocess.DEVNULL,
        stdout=its,
        stderr=its,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    os.close(its)
    os.read(ours, 1)
    os.close(ours)  # every write is EIO from here on
    assert process.wait(60) == 0
    assert result.read_text() == "done"


@pytest.mark.parametrize("write", [say, print_result])
def test_controls_are_shown_as_text(write: Callable[[str], None], capsys: pytest.CaptureFixture[str]) -> None:
    write("a\x1b[2J\u202eb\rc\nd")
    assert capsys.readouterr().out == "a\\x1b[2J\\u202eb\\rc\nd\n"


@pytest.mark.parametrize(
    ("rate", "shown"), [(0.0512, "5.12%"), (0.0, "0.00%"), (12.5, "1,250.00%"), (math.nan, "n/a"), (None, "n/a")]
)
def test_rates_are_shown_in_percent(rate: float | None, shown: str) -> None:
    assert percent(rate) == shown
