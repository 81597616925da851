"""A Hub on loopback, and a finished run to push to it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub_server import LoopbackHub
from tests.unit.publishing.hub_client import hub_of_this_process, make_finished_run


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    with hub_of_this_process(tmp_path, monkeypatch) as hub:
        yield hub


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return make_finished_run(tmp_path, monkeypatch)
