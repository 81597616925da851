"""The embedded quickstart: 563 synthesised telephone clips and a small base model, so a first run needs no network.

Where the files come from: README.md beside this file. The scripts that made them: `tools/quickstart/`.
"""

from pathlib import Path

QUICKSTART = "quickstart"  # what model.name_or_path and data.name_or_path call it
_FOLDER = Path(__file__).resolve().parent

CLIPS_PARQUET = _FOLDER / "clips.parquet"  # 563 rows: 0..449 are training, 450..562 validation
BASE_MODEL_DIR = _FOLDER / "base_model"  # a Whisper of about 1.6 M parameters with its processor; 5 s windows


def model_source(name_or_path: str) -> str:
    """Where a model is that the user names: a folder, or its name on the Hub."""
    return str(BASE_MODEL_DIR) if name_or_path == QUICKSTART else name_or_path
