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

    Of several problems that are reported at once, it is the one about `setting`.
    """
    with pytest.raises(UserError) as refusal:
        yield refusal
    about_it = [error for error in refusal.value.errors if setting is ANY or error.setting == setting]
    assert len(about_it) == 1, refusal.value
    (error,) = about_it
    assert value is ANY or error.value == value, error
    assert remedy in (error.remedy or ""), error
    assert not [word for word in words if word not in str(error)], error
