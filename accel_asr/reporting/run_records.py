"""What a run left in its folder, read back; also of a run that was stopped or still goes."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from accel_asr.config.settings_files import read_yaml
from accel_asr.errors import UserError
from accel_asr.evaluation.breakdowns import PartScore, breakdowns
from accel_asr.evaluation.scoring import ScoredUtterance
from accel_asr.files.run_folder import CONFIG_FILE

BASELINE, BEST, LAST = "baseline", "best", "last"


@dataclass(frozen=True)
class Told:
    """One evaluation: its record as metrics.jsonl has it, and the utterances behind it, in the order of the data."""

    record: Mapping[str, Any]
    scored: list[ScoredUtterance]

    @property
    def step(self) -> int:
        return int(self.record["step"])

    @cached_property
    def parts(self) -> dict[str, list[PartScore]]:
        """The scores of parts of the data, by column; resampled once for page and plots, as that takes its time."""
        return breakdowns(self.scored)


@dataclass(frozen=True)
class RunRecords:
    """All that a report needs of a run folder.

    `chosen` is the evaluation that the report tells of, None where the run has none yet: that of the best model, or of
    the step that was asked for. `baseline` is None where the untouched model was not scored. `summary` is empty, and
    `environment` and `data_summary` too, where the run did not come that far. `eval_lines` are at the whole window;
    `speech_context_lines` are at its own, of a run with `training.audio_context: speech`.
    """

    run_dir: Path
    config: Mapping[str, Any]
    environment: Mapping[str, Any]
    data_summary: Mapping[str, Any]
    summary: Mapping[str, Mapping[str, Any]]
    train_lines: list[dict[str, Any]]
    eval_lines: list[dict[str, Any]]
    speech_context_lines: list[dict[str, Any]]
    left_out_lines: list[dict[str, Any]]
    chosen: Told | None
    baseline: Told | None
    finished: bool

    @property
    def is_best(self) -> bool:
        """Whether `chosen` is the best model's."""
        return self.chosen is not None and self.chosen.step == self.summary.get(BEST, {}).get("step")

    @property
    def last_logged_step(self) -> int:
        """0 before the first line."""
        return max((int(line["step"]) for line in self.train_lines + self.eval_lines), default=0)


def read_run(run_dir: Path, *, step: int | None = None) -> RunRecords:
    """Read a run folder, whether the run has ended or not.

    Args:
        step: Tell of the evaluation at this optimizer step; None is the best one.

    Raises:
        UserError: it is no run folder; it has no evaluation of that step; a file of it is torn or of another version.
    """
    if not (run_dir / CONFIG_FILE).is_file():
        raise UserError(
            f"RUN_DIR: {str(run_dir)!r} is not the folder of a run (it has no {CONFIG_FILE}); give a run's output_dir"
        )
    with _read_or_named(run_dir / CONFIG_FILE):
        config = dict(read_yaml(run_dir / CONFIG_FILE))
    environment, data_summary, summary = (
        _read_json(run_dir / name) for name in ("environment.json", "data_summary.json", "summary.json")
    )
    with _read_or_named(run_dir / "metrics.jsonl"):
        lines = _read_metrics(run_dir / "metrics.jsonl")
    # of a run that was copied in part, or whose disk was full, one of the two may be missing or end too early
    evals = {int(record["step"]): record for record in summary.values()}
    evals |= {int(line["step"]): line for line in _measured_alike(lines) if line["kind"] == "eval"}
    summary = summary or _summary_of(evals)
    if step is not None and step not in evals:
        known = ", ".join(map(str, sorted(evals))) or "none"
        raise UserError(f"--step: there was no evaluation at step {step}; those of this run: {known}")
    told_step = step if step is not None else summary.get(BEST, summary.get(BASELINE, {})).get("step")
    baseline = summary.get(BASELINE)
    baseline_step = baseline["step"] if baseline and baseline["step"] != told_step else None
    return RunRecords(
        run_dir=run_dir,
        config=config,
        environment=environment,
        data_summary=data_summary,
        summary=summary,
        train_lines=[line for line in lines if line["kind"] == "train"],
        eval_lines=[evals[number] for number in sorted(evals)],
        speech_context_lines=[line for line in lines if line["kind"] == "eval_speech_context"],
        left_out_lines=[line for line in lines if line["kind"] == "left_out"],
        chosen=_told(run_dir, told_step, evals),
        baseline=_told(run_dir, baseline_step, evals),
        finished=(run_dir / "last").is_dir(),
    )


def read_scored(path: Path) -> list[ScoredUtterance]:
    """The utterances of an evaluations/*.jsonl.

    Raises:
        UserError: it is not there, torn, or of another version.
    """
    try:
        with path.open(encoding="utf-8") as file:
            return [ScoredUtterance.from_json(json.loads(line)) for line in file]
    except (KeyError, TypeError) as error:
        raise UserError(
            f"RUN_DIR: {str(path)!r} is not as this version of accel_asr writes it (what is amiss: {error}), so there "
            "can be no report of this run; make it with the version that trained it, or score the model anew by "
            f"`accel-asr evaluate --model {path.parent.parent / BEST}`"
        ) from error
    except (OSError, ValueError) as error:
        raise UserError(
            f"RUN_DIR: {str(path)!r} can't be read ({' '.join(str(error).split())}); tell of another evaluation by "
            "--step, or copy the file anew"
        ) from error


def _told(run_dir: Path, step: int | None, evals: Mapping[int, dict[str, Any]]) -> Told | None:
    if step is None or step not in evals:
        return None
    return Told(evals[step], read_scored(run_dir / "evaluations" / f"step-{step:08d}.jsonl"))


def _measured_alike(lines: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    """Those after the yardstick was last changed by a resume: scores of before can't stand beside them."""
    changes = [number for number, line in enumerate(lines) if line["kind"] == "measured_otherwise"]
    return lines[changes[-1] :] if changes else lines


def _summary_of(evals: Mapping[int, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """As training would have written it: ties are the earlier's, and what is not a number is no rate."""
    trained = [evals[step] for step in sorted(evals) if step > 0]
    scored = [record for record in trained if record.get("wer") is not None]
    found = {BASELINE: evals.get(0), BEST: min(scored, key=lambda record: record["wer"], default=None)}
    found[LAST] = trained[-1] if trained else None
    return {name: record for name, record in found.items() if record is not None}


@contextmanager
def _read_or_named(path: Path) -> Iterator[None]:
    """Raises: UserError: the file is torn or can't be read."""
    try:
        yield
    except (OSError, ValueError, TypeError, KeyError) as error:
        problem = " ".join(str(error).split())
        raise UserError(
            f"RUN_DIR: {str(path)!r} can't be read ({problem}); it is torn, or no file of a run. Copy it anew, or take "
            "it away if it is not config.yaml: the report then does without it"
        ) from error


def _read_json(path: Path) -> dict[str, Any]:
    """Of a file that the run may not have written yet: then nothing."""
    with _read_or_named(path):
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _read_metrics(path: Path) -> list[dict[str, Any]]:
    """Of a run that still goes, the last line may be half written: it is left for the next report."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1]]
