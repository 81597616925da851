"""The one error type for mistakes that the user can mend, and how it is shown."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from accel_asr.console.printing import say
from accel_asr.console.public_text import public, shortened

LONGEST_LINE = 4000  # characters of a message: a cell of the data may hold a book
USAGE_EXIT_CODE = 2
INTERRUPTED_EXIT_CODE = 130  # as a shell reports Ctrl-C


class UserError(Exception):
    """Bad input. Shown as `SETTING VALUE: problem; remedy`, without a traceback; exit code 2.

    Its fields are for code (which setting was refused?), its text is for people; nothing parses the text.

    Args:
        problem: What is wrong, in a clause: `is not a folder`.
        setting: The setting or argument at fault, as the user types it: `--data.name_or_path`, `MODEL`.
        value: The value that was refused: shown as `repr` shows it, a path as a string.
        remedy: What to do about it, as an imperative: `give a folder that exists`.
        same_on_every_rank: All ranks raise it, so that the first rank's message is enough.
    """

    def __init__(
        self,
        problem: str,
        *,
        setting: str | None = None,
        value: object = None,
        remedy: str | None = None,
        same_on_every_rank: bool = False,
    ) -> None:
        self.problem, self.setting, self.value, self.remedy = problem, setting, value, remedy
        self.same_on_every_rank = same_on_every_rank
        shown = "" if value is None else repr(str(value) if isinstance(value, os.PathLike) else value)
        place = " ".join(part for part in (setting, shown) if part)
        super().__init__("; ".join(part for part in (f"{place}: {problem}" if place else problem, remedy) if part))


@contextmanager
def user_errors_exit(*, same_on_every_rank: bool = False) -> Iterator[None]:
    """Turn a `UserError` raised inside into its message on stderr and `SystemExit(2)`.

    Args:
        same_on_every_rank: Only the first rank of a launched run speaks; otherwise the others do too, and say who they
            are, since what happened may have happened to one of them alone.
    """
    try:
        yield
    except UserError as error:
        rank = os.environ.get("RANK", "0")
        if rank == "0" or not (same_on_every_rank or error.same_on_every_rank):
            prefix = "error" if rank == "0" else f"error [rank {rank}]"
            lines = [shortened(line, LONGEST_LINE) for line in f"{prefix}: {error}".split("\n")]
            say(public("\n".join(lines)), to_stderr=True)
        raise SystemExit(USAGE_EXIT_CODE) from None
    except KeyboardInterrupt:
        say("\ninterrupted", to_stderr=True)
        raise SystemExit(INTERRUPTED_EXIT_CODE) from None
