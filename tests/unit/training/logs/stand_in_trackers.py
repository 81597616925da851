"""Small `wandb` and `trackio` on the path, which note what they are given: the real ones are extras, and large."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

SOURCE = """
class Run:
    def __init__(self, given):
        self.given, self.logged, self.finished = given, [], False

    def log(self, values, step=None):
        self.logged.append((step, values))

    def finish(self):
        self.finished = True


class Thing:
    def __init__(self, *values, **named):
        self.values, self.named = values, named


Table = Audio = Settings = Thing
runs = []


def init(**given):
    runs.append(Run(given))
    return runs[-1]
"""


@contextmanager
def stand_in(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, source: str = SOURCE) -> Iterator[ModuleType]:
    """Import the stand-in, and forget it after."""
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(source)
    monkeypatch.syspath_prepend(folder)
    real = {loaded: module for loaded, module in sys.modules.items() if loaded.split(".")[0] == name}
    for loaded in real:
        del sys.modules[loaded]
    yield importlib.import_module(name)
    del sys.modules[name]
    sys.modules.update(real)
