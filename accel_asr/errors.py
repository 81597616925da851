"""The one error type for mistakes that the user can mend, and how it is shown."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from accel_asr.printing import say
from accel_asr.public_text import public, shortened

LONGEST_LINE = 4000  # characters of a message: a cell of the data may hold a book
USAGE_EXIT_CODE = 2
INTERRUPTED_EXIT_CODE = 130  # as a shell reports Ctrl-C


class UserError(Exception):
    """Bad input: the message names the setting, its value and the remedy. Shown without a traceback; exit code 2.

    Args:
        same_on_every_rank: All ranks raise it, so that the first one's message is enough.
    """

    def __init__(self, message: str, *, same_on_every_rank: bool = False) -> None:
        super().__init__(message)
        self.same_on_every_rank = same_on_every_rank


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
