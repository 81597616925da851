"""Reading a local source as the default settings do, for the tests of each kind of source."""

from pathlib import Path
from typing import Any

import pytest

from accel_asr.data.sources import Source, load_source
from accel_asr.errors import UserError


def load(path: Path | str, **options: Any) -> Source:
    """`load_source` with the default settings, but for `options`."""
    return load_source(str(path), **({"split": "train", "audio_column": "audio", "text_column": "text"} | options))


def refused(path: Path | str, **options: Any) -> str:
    """What the user is told when `load` refuses."""
    with pytest.raises(UserError) as caught:
        load(path, **options)
    return str(caught.value)
