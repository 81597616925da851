"""The error for mistakes that the user can mend, and how it is shown."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from accel_asr.console.printing import say
from accel_asr.console.public_text import public, shortened

LONGEST_LINE = 4000  # characters of a message: a cell of the data may hold a book
USAGE_EXIT_CODE = 2
INTERRUPTED_EXIT_CODE = 130  # as a shell reports Ctrl-C


class UserError(Exception):
    """Bad input. Shown as `SETTING VALUE: problem; remedy`, without a traceback; exit code 2.

    Code reads the fields, people read the text; nothing parses the text.

    Args:
        problem: What is wrong, in a clause: `is not a folder`.
        setting: The setting or argument at fault, as the user types it: `--data.name_or_path`, `MODEL`.
        value: The value that was refused: shown as `repr` shows it, a path as a string; a long one is shortened.
        remedy: What to do about it, as an imperative: `give a folder that exists`.
        same_on_every_rank: All ranks raise it, so the first rank's message is enough.
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
        super().__init__(problem)

    def __str__(self) -> str:
        place = " ".join(part for part in (self.setting, _shown(self.value)) if part)
        sentence = f"{place}: {self.problem}" if place else self.problem
        return f"{sentence}; {self.remedy}" if self.remedy else sentence

    @property
    def errors(self) -> "tuple[UserError, ...]":
        """The problems that it reports, one by one."""
        return (self,)

    def but(self, **fields: Any) -> "UserError":
        """The same error with some fields changed, to be raised `from` it: `error.but(setting="--against")`."""
        same = {name: getattr(self, name) for name in ("problem", "setting", "value", "remedy", "same_on_every_rank")}
        return UserError(**{**same, **fields})


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()  # as YAML has it
    return shortened(repr(str(value) if isinstance(value, os.PathLike) else value))


class SeveralProblemsError(UserError):
    """Several problems at once, a line each."""

    def __init__(self, errors: Iterable[UserError]) -> None:
        self._errors = tuple(single for error in errors for single in error.errors)
        super().__init__("\n".join(map(str, self._errors)))
        self.same_on_every_rank = all(error.same_on_every_rank for error in self._errors)

    @property
    def errors(self) -> tuple[UserError, ...]:
        """The problems that it reports, one by one."""
        return self._errors

    def but(self, **fields: Any) -> UserError:
        """All of its errors with some fields changed."""
        return SeveralProblemsError(error.but(**fields) for error in self._errors)

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        return SeveralProblemsError, (self._errors,)


def raise_all(errors: Iterable[UserError]) -> None:
    """Raise what was collected, so that the user mends it in one go; nothing where all is well.

    Raises:
        UserError: the only one of `errors`, or all of them as `SeveralProblemsError`.
    """
    errors = list(errors)
    if errors:
        raise errors[0] if len(errors) == 1 else SeveralProblemsError(errors)


@contextmanager
def setting_shown_as(option: str, *, setting: str) -> Iterator[None]:
    """Let errors about `setting` name the option that the user gave: `--against` for `--model.name_or_path`."""
    try:
        yield
    except UserError as error:
        if not any(single.setting == setting for single in error.errors):
            raise
        renamed = [single.but(setting=option) if single.setting == setting else single for single in error.errors]
        raise (renamed[0] if len(renamed) == 1 else SeveralProblemsError(renamed)) from error


@contextmanager
def user_errors_exit(*, same_on_every_rank: bool = False) -> Iterator[None]:
    """Turn a `UserError` raised inside into its message on stderr and `SystemExit(2)`.

    Args:
        same_on_every_rank: Only the first rank of a launched run prints it. Otherwise each rank does, with its number,
            since the problem may be its alone.
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
