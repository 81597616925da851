"""The folder that `accel-asr evaluate` writes: what may be replaced in it, and in which order it is filled."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel_asr.errors import UserError
from accel_asr.files.atomic_writes import write_errors_explained, write_json, write_json_lines

if TYPE_CHECKING:
    from accel_asr.evaluation.no_speech import NoSpeechResult
    from accel_asr.evaluation.set_results import SetResult

SCORES_FILE = "scores.json"
AGAINST_DIR = "against"


def require_place(output_dir: Path, *, overwrite: bool) -> None:
    """Check, before anything is loaded, that scores can be written there.

    Raises:
        UserError: it can't be a folder, can't be written to, or holds scores that may not be replaced.
    """
    with write_errors_explained(output_dir, setting="--output_dir", remedy="give another folder"):
        if (output_dir / SCORES_FILE).exists() and not overwrite:
            raise UserError(
                "already holds scores",
                setting="--output_dir",
                value=output_dir,
                remedy="give another folder, or add --overwrite",
            )
        there = next(folder for folder in (output_dir, *output_dir.parents) if folder.exists())
        with tempfile.TemporaryFile(dir=there):  # rights alone do not tell: a disk may be mounted to be read only
            pass


def require_free(
    output_dir: Path, set_names: Sequence[str], *, sources: Sequence[str], overwrite: bool, has_other: bool
) -> None:
    """Check, before anything is transcribed, that no file would be lost to the transcripts.

    Args:
        sources: What is evaluated on, as named by the user; never replaced, whatever `overwrite` says.

    Raises:
        UserError: a file of that name is there already.
    """
    targets = _transcripts(output_dir, set_names)
    if has_other:
        targets += _transcripts(output_dir / AGAINST_DIR, set_names)
    read = {Path(source).resolve() for source in sources}
    for target in targets:
        if target.exists() and (target.resolve() in read or not overwrite):
            remedy = "give another folder" if target.resolve() in read else "give another folder, or add --overwrite"
            raise UserError(
                f"already holds {str(target.relative_to(output_dir))!r}, where the transcripts would go",
                setting="--output_dir",
                value=output_dir,
                remedy=remedy,
                same_on_every_rank=True,
            )


def write_scores(
    output_dir: Path,
    scores: dict[str, Any],
    results: Mapping[str, Sequence["SetResult"]],
    no_speech: Mapping[str, "NoSpeechResult"],
    decoding: Mapping[str, Mapping[str, Any]],
) -> None:
    """The transcripts of each set, those of the other model in `against/`, and then scores.json.

    The files of the evaluation that is replaced go first, so that scores.json never stands beside others' transcripts.

    Args:
        scores: What else scores.json holds.
        results, no_speech, decoding: Of each model, by its name; no_speech is empty where it was not asked for.

    Raises:
        UserError: a file can't be written.
    """
    from accel_asr.evaluation.comparing import compare
    from accel_asr.evaluation.set_results import comparison_json

    model, *others = results

    def record_of(name: str) -> dict[str, Any]:
        sets = {result.evaluated.name: result.to_json() for result in results[name]}
        return {
            "model": name,
            "decoding": decoding[name],
            "sets": sets,
            **({"no_speech": no_speech[name].record()} if name in no_speech else {}),
        }

    content = {"model": model, "decoding": decoding[model], **scores, **record_of(model)}
    for other in others:
        pairs = zip(results[model], results[other], strict=True)
        comparisons = {
            own.evaluated.name: comparison_json(compare(against.scored, own.scored)) for own, against in pairs
        }
        content["against"] = record_of(other) | {"comparisons": comparisons}
    with write_errors_explained(output_dir, setting="--output_dir", remedy="give another folder"):
        _remove_earlier(output_dir)
        for name, folder in ((model, output_dir), *((other, output_dir / AGAINST_DIR) for other in others)):
            for result in results[name]:
                rows = (utterance.to_json() for utterance in result.scored)
                write_json_lines(folder / f"{result.evaluated.name}.jsonl", rows)
        write_json(output_dir / SCORES_FILE, content)


def _remove_earlier(output_dir: Path) -> None:
    """The files that an earlier scores.json speaks of, and itself."""
    try:
        earlier = json.loads((output_dir / SCORES_FILE).read_text(encoding="utf-8"))
        names = [name for name in earlier["sets"] if Path(name).name == name]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        names = []
    (output_dir / SCORES_FILE).unlink(missing_ok=True)
    for folder in (output_dir, output_dir / AGAINST_DIR):
        for path in _transcripts(folder, names):
            path.unlink(missing_ok=True)


def _transcripts(folder: Path, set_names: Sequence[str]) -> list[Path]:
    return [folder / f"{name}.jsonl" for name in set_names]
