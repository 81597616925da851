"""Folders of a few files, for the tests of each kind of source."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[Mapping[str, str | bytes]], Path]:
    """Write files, by their names in one folder, and return the folder."""

    def write(files: Mapping[str, str | bytes]) -> Path:
        (tmp_path / "set").mkdir(exist_ok=True)
        for name, content in files.items():
            path = tmp_path / "set" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return tmp_path / "set"

    return write
