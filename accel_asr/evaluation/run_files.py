"""What a run wrote about itself, read back by its report and its model card."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accel_asr.config.settings_files import read_yaml
from accel_asr.errors import UserError
from accel_asr.evaluation.scoring import ScoredUtterance


def read_record(path: Path) -> dict[str, Any]:
    """The mapping in a JSON or YAML file of a run.

    Raises:
        UserError: it is missing or torn.
    """
    try:
        content = read_yaml(path) if path.suffix == ".yaml" else json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("it holds no settings by name")
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    return content


def weights_in_words(record: Mapping[str, Any]) -> str:
    """Which weights were scored.

    `step 300`, `moving average at step 300`, `mean of steps 100, 200 and 300`, or `interpolation at alpha 0.5 to step
    300`.
    """
    step = f"step {record['step']:,}"
    if "weights" not in record:
        return step
    if record["weights"] == "ema":
        return f"moving average at {step}"
    if "alpha" in record:
        return f"interpolation at alpha {record['alpha']:g} to {step}"
    *steps, last = (f"{step:,}" for step in record["steps"])
    return f"mean of steps {', '.join(steps)} and {last}"


def context_in_words(record: Mapping[str, Any]) -> str:
    """What to add to the scores of an evaluation that merged the padding; nothing where it had the whole window."""
    return ", with merged padding" if record.get("audio_context") == "merged" else ""


def translation_in_words(record: Mapping[str, Any]) -> str | None:
    """BLEU and chrF of an evaluation with sacrebleu's signatures; None where nothing was translated."""
    translation = record.get("translation")
    if translation is None:
        return None
    scores = [
        f"{label} {translation[name]:.1f} ({translation[f'{name}_signature']})"
        for label, name in (("BLEU", "bleu"), ("chrF", "chrf"))
    ]
    return f"{' and '.join(scores)} on {translation['utterances']:,} translated utterances; higher is better"


def transcripts_file(record: Mapping[str, Any]) -> str:
    """The file in `evaluations/` for the transcripts of an evaluation."""
    return f"{record['weights']}.jsonl" if "weights" in record else f"step-{record['step']:08d}.jsonl"


def read_scored(run_dir: Path, record: Mapping[str, Any]) -> list[ScoredUtterance]:
    """The scored transcripts of an evaluation.

    Raises:
        UserError: they are missing, torn, or of another version.
    """
    return read_transcripts(
        run_dir / "evaluations" / transcripts_file(record),
        setting="RUN_DIR",
        remedy="copy it from the run again, use the version that trained the run, or score the model again with "
        f"`accel-asr evaluate --model {run_dir / 'best'}`",
    )


def read_transcripts(file: Path, *, setting: str, remedy: str) -> list[ScoredUtterance]:
    """The scored transcripts of a run or of `accel-asr evaluate`.

    Raises:
        UserError: there are none, or a line is torn or of another version.
    """
    scored: list[ScoredUtterance] = []
    try:
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                scored.append(ScoredUtterance.from_json(json.loads(line)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"line {len(scored) + 1} is no transcript of this version of accel_asr ({error!r})"
        raise UserError(problem, setting=setting, value=file, remedy=remedy) from error
    if not scored:
        raise UserError("is empty", setting=setting, value=file, remedy=remedy)
    return scored


def unreadable(path: Path, error: Exception) -> UserError:
    """The refusal of a file that is torn or out of reach."""
    reason = " ".join(str(error).split())
    return UserError(
        f"can't be read ({reason})",
        setting="RUN_DIR",
        value=path,
        remedy="copy it from the run again",
    )
