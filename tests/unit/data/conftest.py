"""The folder of real recordings, for tests marked `realdata`."""

import os
from pathlib import Path

import pytest

BESIDE_THE_REPOSITORY = Path(__file__).parents[4] / "shared" / "realdata"


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder that ACCEL_ASR_REALDATA names, or `../shared/realdata`; the test is skipped where there is none."""
    folder = Path(os.environ.get("ACCEL_ASR_REALDATA") or BESIDE_THE_REPOSITORY)
    if not folder.is_dir():
        pytest.skip(f"there is no folder {folder}; ACCEL_ASR_REALDATA may name it")
    return folder
