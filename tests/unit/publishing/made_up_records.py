"""What a finished run has recorded, as far as a model card reads it."""

import json
from pathlib import Path
from typing import Any

from accel_asr.config.command_line import parse_config, write_config

SCORES = {"utterances": 113, "empty_references": 2, "cut_off": 0, "loss": 1.5}
SUMMARY: dict[str, dict[str, Any]] = {
    "baseline": {"step": 0, "epoch": 0.0, "wer": 0.75, "wer_ortho": 0.8125, "cer": 0.5, **SCORES},
    "best": {"step": 30, "epoch": 1.0, "wer": 0.25, "wer_ortho": 0.3125, "cer": 0.12346, **SCORES},
    "last": {"step": 60, "epoch": 2.0, "wer": 0.26, "wer_ortho": 0.32, "cer": 0.13, **SCORES},
}
DATA = {
    "train": {"utterances": 450, "hours": 0.91},
    "validation": {"utterances": 113, "hours": 0.23},
    "dropped": {"no text": {"count": 3, "examples": []}, "longer than 30 s": {"count": 1, "examples": []}},
}
ENVIRONMENT = {
    "command": ["python", "accel_asr/train.py", "--config", "x"],
    "world_size": 2,
    "parameters": {"encoder": {"trained": 0, "all": 1500}, "decoder": {"trained": 7, "all": 7}},
    "packages": {"torch": "2.13.0", "accel-asr": None, "transformers": "5.23.0"},
}


def write_records(run: Path, *settings: str, summary: dict[str, Any] = SUMMARY) -> Path:
    """Write the settings and records of a run into its folder."""
    write_config(parse_config(list(settings)), run / "config.yaml")
    for name, content in (("summary", summary), ("data_summary", DATA), ("environment", ENVIRONMENT)):
        (run / f"{name}.json").write_text(json.dumps(content))
    return run
