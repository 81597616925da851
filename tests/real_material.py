"""Real recordings and real Whisper weights: outside of the repository, and the weights are made on demand."""

import os
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

from tests.browser import skip_or_fail

BESIDE_THE_REPOSITORY = Path(__file__).resolve().parents[2] / "shared"
REALDATA_VARIABLE = "ACCEL_ASR_REALDATA"
REALMODELS_VARIABLE = "ACCEL_ASR_REALMODELS"
MAKER = BESIDE_THE_REPOSITORY / "realmodels" / "make_models.py"
MODELS = ("whisper-tiny.en", "whisper-base")


def realdata_folder() -> Path:
    """The folder that ACCEL_ASR_REALDATA names, or `../shared/realdata`; the test is skipped where there is none."""
    folder = Path(os.environ.get(REALDATA_VARIABLE) or BESIDE_THE_REPOSITORY / "realdata")
    if not folder.is_dir():
        skip_or_fail(f"there is no folder {folder}; {REALDATA_VARIABLE} may name it")
    return folder


def realmodel_folder(name: str) -> Path:
    """A folder with real weights, such as `whisper-tiny.en`, made once by `make_models.py` from the package index.

    It lies in the folder that ACCEL_ASR_REALMODELS names, or else in the user's cache folder. Without
    either the folder or the script the test is skipped; in CI it fails.
    """
    named = os.environ.get(REALMODELS_VARIABLE)
    folder = Path(named) if named else Path.home() / ".cache" / "accel_asr" / "realmodels"
    if not (folder / name / "complete").exists():
        if not MAKER.exists():
            skip_or_fail(f"{folder / name} is not there; {REALMODELS_VARIABLE} may name the folder above it")
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):  # several processes of tests want it at once; it leaves alone what is complete
            subprocess.run([sys.executable, str(MAKER), str(folder), name], check=True, timeout=600)
    return folder / name
