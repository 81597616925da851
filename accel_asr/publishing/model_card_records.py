"""The files of a run that its model card is made from."""

import json
from pathlib import Path
from typing import Any

from accel_asr.config.settings_files import read_yaml
from accel_asr.errors import UserError
from accel_asr.evaluation.scoring import ScoredUtterance


def read_record(path: Path) -> dict[str, Any]:
    """What a file of the run holds.

    Raises:
        UserError: it is no JSON or YAML, such as a file that was cut off.
    """
    try:
        is_yaml = path.suffix == ".yaml"
        content = read_yaml(path) if is_yaml else json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("it holds no settings by name")
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"RUN_DIR: {str(path)!r} can't be read ({reason}); put a whole copy of it there, or train again"
        ) from error
    return content


def read_scored(run_dir: Path, record: dict[str, Any] | None) -> list[ScoredUtterance]:
    """The transcripts of an evaluation; empty where they are not there, or not as this version writes them."""
    if record is None:
        return []
    path = run_dir / "evaluations" / f"step-{record['step']:08d}.jsonl"
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # splitlines() would also cut inside of texts
        return [ScoredUtterance.from_json(json.loads(line)) for line in lines if line]
    except (OSError, KeyError, TypeError, ValueError):
        return []
