"""Expecting a `UserError` by its fields and a few words, not by its sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from accel_asr.errors import UserError

ANY: Any = object()


@contextmanager
def refused(
    setting: str | None = ANY, *words: str, value: object = ANY, remedy: str = ""
) -> Iterator[pytest.ExceptionInfo[UserError]]:
    """Expect a refusal of `setting`, of `value`, whose remedy has the words `remedy` and whose text has all `words`.

    Of several problems that are reported at once, exactly one must be that.
    """
    with pytest.raises(UserError) as refusal:
        yield refusal
    about_it = [error for error in refusal.value.errors if setting is ANY or error.setting == setting]
    assert about_it, f"not about {setting}: {refusal.value}"
    fitting = [
        error
        for error in about_it
        if (value is ANY or error.value == value or repr(error.value) == repr(value))  # repr: nan equals nothing
        and remedy in (error.remedy or "")
        and all(word in str(error) for word in words)
    ]
    assert len(fitting) == 1, refusal.value
