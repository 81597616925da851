"""How far the work is: a bar on a terminal, and in a log a plain line now and then, without carriage returns."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from logging import ERROR, getLogger
from types import TracebackType
from typing import Any

from tqdm.auto import tqdm

from accel_asr.console.printing import UnfailingStream, say, standard_error, standard_output
from accel_asr.console.public_text import visible

TRAINING_LINE_S = 30.0
LINE_S = 60.0  # of work inside a run: an hour of it leaves a log of under 200 lines
LINE_SHARE = 0.05
WAIT_LINE_S = 60.0
QUANTIZATION_LIBRARIES = ("bitsandbytes", "torchao", "torch.utils._pytree")  # the last warns of torchao
SWITCHES_OF_LIBRARIES = ("HF_HUB_DISABLE_PROGRESS_BARS", "HF_DATASETS_DISABLE_PROGRESS_BARS")


def line_is_due(since_s: float, share: float, *, every_s: float = TRAINING_LINE_S) -> bool:
    """Whether a log needs a line about progress: after `every_s` seconds or LINE_SHARE of the work, whichever is later.

    Args:
        since_s: Seconds since the last line, or the beginning.
        share: Fraction of the work done since then.
    """
    return since_s >= every_s and share >= LINE_SHARE - 1e-9


def bars_are_seen(*, result_on_stdout: bool = False) -> bool:
    """Whether a person watches. Both streams must be a terminal, or half a bar would end up in a file.

    Args:
        result_on_stdout: The command prints its result, so stdout may be a file while a person watches stderr.
    """
    if type(sys.stdout).__module__.startswith("ipykernel"):  # a notebook, where tqdm draws its own kind of bar
        return True
    return standard_error().isatty() and (result_on_stdout or standard_output().isatty())


def quiet_library_imports() -> None:
    """Call before anything is imported: switches off what libraries say of themselves and, in a log, the Hub's bars.

    transformers imports each quantization library that is installed, and these warn of kernels that nothing here uses.
    """
    for library in QUANTIZATION_LIBRARIES:
        getLogger(library).setLevel(ERROR)
    if not bars_are_seen():
        for variable in SWITCHES_OF_LIBRARIES:
            os.environ.setdefault(variable, "1")


@contextmanager
def waiting_is_said(what: str) -> Iterator[None]:
    """In a log, where bars are off, print that `what` is still going on: after a minute, then less and less often."""
    if bars_are_seen() or os.environ.get("RANK", "0") != "0":
        yield
        return
    is_over = threading.Event()
    speaker = threading.Thread(target=_say_until, args=(is_over, visible(what)), name="waiting", daemon=True)
    speaker.start()
    try:
        yield
    finally:
        is_over.set()
        speaker.join()


def _say_until(is_over: threading.Event, what: str) -> None:
    begun_s, wait_s = time.monotonic(), WAIT_LINE_S
    while not is_over.wait(wait_s):
        say(f"{what}: {(time.monotonic() - begun_s) / 60:.0f} min so far", to_stderr=True)
        wait_s = 2 * wait_s


def text_bar(**options: Any) -> "tqdm[Any]":
    """tqdm on a stderr that can't fail."""
    stream: UnfailingStream | None = standard_error()
    if type(sys.stderr).__module__.startswith("ipykernel"):
        stream = None
    return tqdm(file=stream, dynamic_ncols=True, leave=False, **options)


class ProgressLines:
    """A bar for a log, with tqdm's methods: prints a line when it is due.

    Args:
        total: Units of work.
        done: Units already done at the beginning.
        every_s: As for `line_is_due`.
        say: Takes a line.
    """

    def __init__(
        self,
        total: int,
        *,
        desc: str,
        unit: str,
        done: int = 0,
        every_s: float = LINE_S,
        say: Callable[[str], None] = lambda line: say(line, to_stderr=True),
    ) -> None:
        self.total, self.n = total, done
        self.desc, self.unit, self.every_s, self.say = desc, unit, every_s, say
        self.postfix = ""
        self._line_s, self._line_n = time.monotonic(), done

    def is_due(self, units: float = 0) -> bool:
        """Whether a line is due after `units` more units."""
        share = (self.n + units - self._line_n) / max(self.total, 1)
        return line_is_due(time.monotonic() - self._line_s, share, every_s=self.every_s)

    def update(self, units: float = 1) -> None:
        """Count `units` more units as done."""
        self.n += int(units)
        if self.is_due():
            more = f", {self.postfix}" if self.postfix else ""
            share = 100 * self.n / max(self.total, 1)
            self.say(f"{self.desc}: {self.n:,} of {self.total:,} {self.unit} ({share:.0f}%){more}")
            self._line_s, self._line_n = time.monotonic(), self.n

    def set_postfix_str(self, text: str, refresh: bool = True) -> None:
        """Set the text that the next line has after the numbers."""
        self.postfix = visible(text)

    def clear(self) -> None:
        """Nothing to clear."""

    def close(self) -> None:
        """Nothing to close."""

    def __enter__(self) -> "ProgressLines":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


Bar = ProgressLines | tqdm


def advance(bar: Bar, units: int, *, processes: int) -> None:
    """Count `units` that this process did as done by each of them: the others are about as far, or have none left."""
    bar.update(min(units * processes, (bar.total or 0) - bar.n))


def progress_bar(
    total: int, *, desc: str, unit: str, is_shown: bool = True, result_on_stdout: bool = False, **of_tqdm: Any
) -> Bar:
    """A bar where a person watches, else lines on stderr; nothing if not `is_shown`, as on other ranks.

    Args:
        result_on_stdout: As for `bars_are_seen`.
        of_tqdm: Arguments for a bar only, such as `delay`.
    """
    if not is_shown or bars_are_seen(result_on_stdout=result_on_stdout):
        return text_bar(total=total, desc=visible(desc), unit=unit, disable=not is_shown, **of_tqdm)
    return ProgressLines(total, desc=visible(desc), unit=unit)
