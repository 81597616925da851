"""Everything is printed through here, so that printing never ends a run and no text controls the terminal.

A terminal may be gone, a pipe closed, a disk full, an encoding too small; a recording's name may contain codes that
clear the screen. None of that may cost a training run. Only a command's result (a transcript, a report as JSON) must
not get lost: `print_result` raises if it can't be written.
"""

import argparse
import atexit
import errno
import json
import math
import os
import sys
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any, NoReturn

from accel_asr.console.public_text import public, visible, visible_lines, without_secrets

if TYPE_CHECKING:
    from rich.console import Console


class UnfailingStream:
    """A text stream whose `write` and `flush` never raise: text that can't be written is lost, characters that can't be
    encoded are backslash-escaped. Secrets are hidden, also in tracebacks and warnings of libraries.

    Args:
        stream: None, like `sys.stdout`, if it was closed before Python started.
        hide: Removes the secrets from a text. Stdout gets texts of the data, so only known secrets are hidden there.
    """

    def __init__(self, stream: Any, hide: Callable[[str], str] = without_secrets) -> None:
        self.stream = stream
        self.hide = hide
        self.failure: OSError | None = None
        self._is_ending = False
        if stream is None:
            self.failure = OSError(errno.EBADF, "it is closed")

    def write(self, text: str) -> int:
        """Write as much as possible; always returns the length of `text`."""
        if self.stream is not None:
            try:
                self.stream.write(self.hide(text))
            except UnicodeEncodeError:
                self.write(text.encode(self.encoding, "backslashreplace").decode(self.encoding))
            except (OSError, ValueError) as error:  # ValueError: closed since
                self._note(error)
        return len(text)

    def flush(self) -> None:
        """Flush, if there is a stream."""
        if self.stream is not None:
            try:
                self.stream.flush()
            except (OSError, ValueError) as error:
                self._note(error)

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        try:
            return self.stream is not None and bool(self.stream.isatty())
        except (OSError, ValueError):
            return False

    @property
    def encoding(self) -> str:
        """`utf-8` for a stream without an encoding, such as a StringIO."""
        return getattr(self.stream, "encoding", None) or "utf-8"

    def can_show(self, text: str) -> bool:
        """Whether its encoding has every character of `text`."""
        try:
            text.encode(self.encoding)
        except UnicodeEncodeError:
            return False
        return True

    def prepare_for_the_end(self) -> None:
        """Flush before Python's own last flush, which would turn a failure into exit code 120."""
        self._is_ending = True
        self.flush()
        if self.failure is not None:
            self._write_to_nothing()

    def _note(self, error: Exception) -> None:
        self.failure = error if isinstance(error, OSError) else OSError(errno.EBADF, str(error))
        if self._is_ending:  # before that, a full disk may have room again
            self._write_to_nothing()

    def _write_to_nothing(self) -> None:
        """Point the descriptor at the null device, since Python flushes what is still buffered when it ends."""
        try:
            descriptor = self.stream.fileno()
        except (OSError, ValueError, AttributeError):
            return
        if descriptor in (1, 2):
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, descriptor)
            os.close(nothing)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def guard_standard_streams() -> None:
    """Make stdout and stderr of this process unable to fail, for `print` and libraries too; call it at the start.

    Streams that were closed before the start (`>&-`) become the null device: otherwise the next file that is opened
    gets their number, and whatever a library prints ends up in it.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            _open_null_device_as(descriptor)
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 - stays open
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, UnfailingStream):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
            guarded = UnfailingStream(stream, public if name == "stderr" else without_secrets)
            setattr(sys, name, guarded)
            atexit.register(guarded.prepare_for_the_end)


def _open_null_device_as(descriptor: int) -> None:
    opened = os.open(os.devnull, os.O_RDWR)
    if opened == descriptor:
        os.set_inheritable(descriptor, True)
    else:
        os.dup2(opened, descriptor)
        os.close(opened)


def standard_output() -> UnfailingStream:
    """The current `sys.stdout`, unable to fail."""
    return sys.stdout if isinstance(sys.stdout, UnfailingStream) else UnfailingStream(sys.stdout)


def standard_error() -> UnfailingStream:
    """The current `sys.stderr`, unable to fail."""
    return sys.stderr if isinstance(sys.stderr, UnfailingStream) else UnfailingStream(sys.stderr, public)


def say(text: str, *, to_stderr: bool = False) -> None:
    """Print lines for a person, and flush. Control characters are shown as text."""
    stream = standard_error() if to_stderr else standard_output()
    stream.write(visible_lines(text) + "\n")
    stream.flush()


def print_result(text: str) -> None:
    """Print a command's result. Control characters are shown as text, characters that can't be encoded are escaped.

    Raises:
        OSError: it can't be written; BrokenPipeError if its reader has gone.
    """
    stream = standard_output()
    stream.write(visible_lines(text) + "\n")
    stream.flush()
    if stream.failure is not None:
        raise stream.failure


def json_to_print(content: Any, *, indent: int | None = None) -> str:
    """JSON for standard output: letters as they are, unless they can't be encoded or would control the terminal."""
    text = json.dumps(content, ensure_ascii=False, indent=indent, allow_nan=False)
    if standard_output().can_show(text) and visible_lines(text) == text:
        return text
    return json.dumps(content, indent=indent, allow_nan=False)


def table_console(*, width: int = 80, file: IO[str] | None = None) -> "Console":
    """A rich console for tables of at least `width` columns, even if the terminal says 0 or 1.

    Cells are plain text, without markup or emoji names. Make control characters in them `visible` first.
    """
    from rich.console import Console

    console = Console(
        file=file or standard_output(),  # type: ignore[arg-type] # it has the methods that rich calls
        soft_wrap=True,
        markup=False,
        emoji=False,
        highlight=False,
    )
    console.width = max(console.width, width)
    return console


def percent(rate: float | None) -> str:
    """0.0512 as `5.12%`, 12.5 as `1,250.00%`; `n/a` for a rate that is not defined."""
    return "n/a" if rate is None or not math.isfinite(rate) else f"{100 * rate:,.2f}%"


def counted(total: int, noun: str, plural: str | None = None) -> str:
    """`1 utterance`, `1,234 utterances`."""
    return f"{total:,} {noun if total == 1 else plural or noun + 's'}"


class OptionParser(argparse.ArgumentParser):
    """An argument parser whose error messages can't control the terminal."""

    def error(self, message: str) -> NoReturn:
        """Print usage and message; exit code 2."""
        super().error(visible(message))
