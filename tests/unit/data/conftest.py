"""The folder of real recordings, for tests marked `realdata`."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder that ACCEL_ASR_REALDATA names; the test is skipped where it is not set."""
    folder = os.environ.get("ACCEL_ASR_REALDATA")
    if not folder:
        pytest.skip("ACCEL_ASR_REALDATA does not name a folder")
    return Path(folder)
