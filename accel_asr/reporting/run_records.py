"""What a run left in its folder, read back; the run may have ended, been stopped, or still be going."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from accel_asr.errors import UserError
from accel_asr.evaluation.breakdowns import PartScore, breakdowns
from accel_asr.evaluation.run_files import read_record, read_scored, unreadable
from accel_asr.evaluation.scoring import ScoredUtterance
from accel_asr.files.run_folder import CONFIG_FILE
from accel_asr.run.best_rule import candidates, choose_candidate, remember, remember_candidate

BASELINE, BEST, LAST = "baseline", "best", "last"


@dataclass(frozen=True)
class Evaluation:
    """One evaluation: its record as in metrics.jsonl, and its utterances in the order of the data."""

    record: Mapping[str, Any]
    scored: list[ScoredUtterance]

    @property
    def step(self) -> int:
        return int(self.record["step"])

    @cached_property
    def parts(self) -> dict[str, list[PartScore]]:
        """The scores of parts of the data, by column. Page and charts share them, since resampling is slow."""
        return breakdowns(self.scored)


@dataclass(frozen=True)
class RunRecords:
    """All that a report needs from a run folder.

    `chosen` is the evaluation that the report is about: the best model's, or that of the requested step; None if there
    is none yet. `baseline` is None if the untouched model was not scored. `summary`, `environment` and `data_summary`
    are empty if the run did not get that far. `early_stop` is None if the run went on.
    """

    run_dir: Path
    config: Mapping[str, Any]
    environment: Mapping[str, Any]
    data_summary: Mapping[str, Any]
    summary: Mapping[str, Mapping[str, Any]]
    train_lines: list[dict[str, Any]]
    eval_lines: list[dict[str, Any]]
    left_out_lines: list[dict[str, Any]]
    early_stop: dict[str, Any] | None
    chosen: Evaluation | None
    baseline: Evaluation | None
    finished: bool

    @property
    def is_best(self) -> bool:
        """Whether `chosen` is the best model's."""
        best = self.summary.get(BEST)
        return self.chosen is not None and best is not None and is_same(self.chosen.record, best)

    @property
    def averages(self) -> list[Mapping[str, Any]]:
        """The records of averages of the weights, which were scored after the last step."""
        return [record for record in candidates(self.summary) if "alpha" not in record]

    @property
    def interpolations(self) -> list[Mapping[str, Any]]:
        """The records of weights between the base model's and the last ones, by alpha."""
        return sorted((record for record in candidates(self.summary) if "alpha" in record), key=lambda r: r["alpha"])

    @property
    def last_logged_step(self) -> int:
        """0 before the first line."""
        return max((int(line["step"]) for line in self.train_lines + self.eval_lines), default=0)


def read_run(run_dir: Path, *, step: int | None = None) -> RunRecords:
    """Read a run folder, whether the run has ended or not.

    Args:
        step: The optimizer step of the evaluation to report; None for the best.

    Raises:
        UserError: it is no run folder, it has no evaluation of that step, or a file is torn or of another version.
    """
    if not (run_dir / CONFIG_FILE).is_file():
        raise UserError(
            f"is not the folder of a run (it has no {CONFIG_FILE})",
            setting="RUN_DIR",
            value=run_dir,
            remedy="give a run's output_dir",
        )
    environment, data_summary, summary = (
        read_record(run_dir / name) if (run_dir / name).is_file() else {}
        for name in ("environment.json", "data_summary.json", "summary.json")
    )
    lines = _read_metrics(run_dir / "metrics.jsonl")
    # of a run that was copied in part, or whose disk was full, one of the two may be missing or end too early
    evals = {int(record["step"]): record for record in summary.values() if "weights" not in record}
    evals |= {int(line["step"]): line for line in _measured_alike(lines) if line["kind"] == "eval"}
    averages = [line for line in _measured_alike(lines) if "weights" in line]
    summary = summary or _summary_of(evals, averages)
    if step is not None and step not in evals:
        known = ", ".join(map(str, sorted(evals))) or "none"
        raise UserError("no evaluation at this step", setting="--step", value=step, remedy=f"those of the run: {known}")
    baseline = summary.get(BASELINE)
    chosen = evals[step] if step is not None else summary.get(BEST, summary.get(LAST, baseline))

    def evaluation(record: Mapping[str, Any] | None) -> Evaluation | None:
        if record is None:
            return None
        if "weights" not in record:
            record = evals[int(record["step"])]
        return Evaluation(record, read_scored(run_dir, record))

    return RunRecords(
        run_dir=run_dir,
        config=read_record(run_dir / CONFIG_FILE),
        environment=environment,
        data_summary=data_summary,
        summary=summary,
        train_lines=[line for line in lines if line["kind"] == "train"],
        eval_lines=[evals[number] for number in sorted(evals)],
        left_out_lines=[line for line in lines if line["kind"] == "left_out"],
        early_stop=_early_stop(lines),
        chosen=evaluation(chosen),
        baseline=evaluation(baseline) if chosen and baseline and not is_same(chosen, baseline) else None,
        finished=(run_dir / "last").is_dir(),
    )


def is_same(record: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether both are of one evaluation."""
    return (record["step"], record.get("weights")) == (other["step"], other.get("weights"))


def _early_stop(lines: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Where and why the run ended early, unless it was resumed to go on."""
    last = next((line for line in reversed(lines) if line["kind"] in ("early_stop", "train")), None)
    return last if last is not None and last["kind"] == "early_stop" else None


def _measured_alike(lines: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    """Those since a resume last changed how scores are measured: earlier scores can't be compared with them."""
    changes = [number for number, line in enumerate(lines) if line["kind"] == "measured_otherwise"]
    return lines[changes[-1] :] if changes else lines


def _summary_of(evals: Mapping[int, dict[str, Any]], averages: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """As training would have written it: of equal scores the earlier is the best, and an undefined rate never is."""
    trained = [evals[step] for step in sorted(evals) if step > 0]
    records = {BASELINE: evals[0]} if 0 in evals else {}
    guarded = any("guards" in record for record in evals.values())
    for record in trained:
        if record.get("wer") is not None:
            remember(records, LAST, record, guarded=guarded)
    for record in averages:
        if record.get("wer") is not None:
            remember_candidate(records, record["weights"], record)
    choose_candidate(records)
    return records


def _read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl; the last may be half written while the run is going, and is left out then."""
    if not path.is_file():
        return []
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
