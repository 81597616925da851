"""Expecting a `UserError` by its fields and a few words, not by its sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from accel_asr.errors import UserError

ANY: Any = object()


@contextmanager
def refused(setting: str | None = ANY, *words: str, value: object = ANY, remedy: str = "") -> Iterator[None]:
    """Expect a refusal of `setting`, of `value`, whose remedy has the words `remedy` and whose text has all `words`."""
    with pytest.raises(UserError) as refusal:
        yield
    error = refusal.value
    assert setting is ANY or error.setting == setting, error
    assert value is ANY or error.value == value, error
    assert remedy in (error.remedy or ""), error
    assert not [word for word in words if word not in str(error)], error
