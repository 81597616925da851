"""A model folder to spoil: links to the files of the tiny model, until a test writes others."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from accel_asr.errors import UserError
from accel_asr.model.folder.examination import examine

Spoil = Callable[..., Path]


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    for path in tiny_folder.iterdir():
        os.symlink(path, folder / path.name)
    return folder


@pytest.fixture
def spoil(folder: Path) -> Spoil:
    """Change settings of a JSON file of the folder; ... takes one out."""

    def change(name: str, **settings: Any) -> Path:
        content = json.loads((folder / name).read_text()) | settings
        write(folder / name, json.dumps({key: value for key, value in content.items() if value is not ...}))
        return folder

    return change


def write(path: Path, content: str | bytes) -> None:
    """Put a file in place of a link."""
    path.unlink(missing_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def refusal(folder: Path) -> str:
    """Why a folder can't be used."""
    with pytest.raises(UserError) as caught:
        examine(str(folder), name=str(folder))
    error = caught.value
    assert (error.setting, error.value) == ("--model.name_or_path", str(folder))
    assert error.problem.startswith("can't be used")
    return error.problem
