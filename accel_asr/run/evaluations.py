"""The evaluations of a run: scored, shown, recorded, and the best model saved."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import nn
from transformers import WhisperForConditionalGeneration

from accel_asr.config.settings import EvaluationConfig
from accel_asr.console.bars import advance
from accel_asr.evaluation.evaluating import Evaluation, evaluate_model
from accel_asr.evaluation.run_files import transcripts_file
from accel_asr.evaluation.scoring import ScoredUtterance
from accel_asr.files.atomic_writes import folder_written_whole, write_json, write_json_lines
from accel_asr.ranks.agreement import Agreement
from accel_asr.run.best_rule import broken_guards, remember, remember_candidate
from accel_asr.run.display import Display
from accel_asr.run.examinations import Examinations
from accel_asr.run.guards import GuardResult, RunGuards, guard_file
from accel_asr.run.job import Job
from accel_asr.run.memory_shortage import MemoryShortage
from accel_asr.run.run_outputs import RunOutputs
from accel_asr.run.training_plan import RunPlan
from accel_asr.training.early_stopping import early_stop_in_words
from accel_asr.training.launch.sharding import whole_model
from accel_asr.training.saving.checkpoint_state import Progress

AFTER_ALL = -2  # a turn of its own for what is written when everything has been scored


@dataclass
class RunEvaluations:
    """Scores the model of a run as it is now and records the result, in `progress` too.

    It holds the prepared `model`, so drop it before leaving the process group.

    Args:
        settings: Those of the run.
    """

    job: Job
    model: nn.Module
    plan: RunPlan
    settings: EvaluationConfig
    accelerator: Accelerator
    agreement: Agreement
    progress: Progress
    outputs: RunOutputs
    display: Display
    guards: RunGuards = field(init=False)
    examinations: Examinations = field(init=False)

    def __post_init__(self) -> None:
        self.guards = RunGuards(self.job, self.outputs.output_dir, self.accelerator, self.agreement, self.display)
        self.examinations = Examinations(self.job, self.settings, self.accelerator, self.agreement, self.display)

    def before_training(self, save: Callable[[], None]) -> None:
        """Score the baseline of a new run, or redo the last evaluation of a resumed run if need be."""
        step = self.progress.step
        if step == 0:
            if self.settings.eval_on_start:
                self.evaluate("baseline", step=0)
            return
        self.guards.require_baseline(self.progress.scores.get("baseline"))
        if self.plan.cadence.evaluates_after(step) and self.progress.evaluated_step != step:
            self.evaluate("last", step)
            save()
        else:
            self._say_if_it_ends(None)

    def evaluate(self, name: str, step: int) -> None:
        """Score the model, record the result, and save the model if it is the best so far. A collective.

        Args:
            name: `baseline` before training, `last` after `step`.

        Raises:
            AgreedStopError: a stop was asked for; on every rank, and as if it had not begun.
        """
        whole = whole_model(self.accelerator, self.model)
        place, result = self._place(step), self._score(whole)
        guarded = self.guards.score(whole) if self._guards_are_due(step) else {}
        examined = self.examinations.of_model(whole) if name == "baseline" else {}
        self.progress.evaluated_step = step  # only now: a resumed run redoes an evaluation that was stopped
        record: dict[str, Any] = {**place, **result.record(), **self._guard_records(name, guarded)}
        record |= examined
        is_best = self._remember(name, record)
        self._show(
            record, result, guarded, kind="eval", remark="baseline" if name == "baseline" else "", is_best=is_best
        )
        self.display.say_time_of_evaluations(step)
        self._log_samples(result, step)
        self._say_if_it_ends(place)
        self._keep_transcripts(record, result, guarded, turn=step)
        self._keep(whole, is_best=is_best, turn=step)

    def evaluate_candidate(
        self,
        name: str,
        title: str,
        details: Mapping[str, Any],
        *,
        kind: str,
        turn: int,
        versus: Callable[[Sequence[ScoredUtterance]], dict[str, Any] | None],
    ) -> None:
        """Score the model, which has been lent other weights, as `evaluate` does. A collective.

        Whether they become the best is decided when all have been scored.

        Args:
            name: In summary.json; the record says so in `weights`.
            title: What the table of evaluations calls it.
            details: What else the record says of it.
            kind: Of the line in metrics.jsonl.
            turn: A number of its own for its files, above that of any step: training is over.
            versus: Compares it with the best of training; a collective.

        Raises:
            AgreedStopError: as `evaluate`.
        """
        whole = whole_model(self.accelerator, self.model)
        result, guarded = self._score(whole), self.guards.score(whole)
        record = {**self._place(self.progress.step), "weights": name, **details, **result.record()}
        record |= {"versus_best": versus(result.scored), **self._guard_records(name, guarded)}
        remember_candidate(self.progress.scores, name, record)
        self._show(record, result, guarded, kind=kind, remark=title, is_best=False)
        self._keep_transcripts(record, result, guarded, turn=turn)
        self._keep(whole, is_best=False, turn=turn)

    def keep_best(self, *, turn: int) -> None:
        """Save the model, which has been lent the weights that were chosen, as `best/`. A collective."""
        self._keep(whole_model(self.accelerator, self.model), is_best=True, turn=turn)

    def examine_best(self) -> None:
        """Examine the model in `best/`, or the last where none is the best, when all has been scored. A collective.

        Raises:
            AgreedStopError: as `evaluate`.
        """
        scores = self.progress.scores
        name = "best" if "best" in scores else "last"
        record = scores.get(name)
        if record is None or not self.examinations.are_due(record):
            return
        outputs, baseline = self.outputs, scores.get("baseline")
        if record == scores["last"]:
            examined = self.examinations.of_model(whole_model(self.accelerator, self.model), baseline=baseline)
        else:
            outputs.written.hand_over(lambda: None, step=AFTER_ALL)  # on return best/ is on disk
            examined = self.examinations.of_folder(outputs.output_dir / name, baseline=baseline)
        record |= examined
        place = {key: record[key] for key in ("step", "epoch", "weights") if key in record}
        outputs.metrics.write("examined", **place, **examined)
        written = dict(scores)
        outputs.written.hand_over(lambda: write_json(outputs.output_dir / "summary.json", written), step=AFTER_ALL)

    def _place(self, step: int) -> dict[str, Any]:
        return {"step": step, "epoch": round(self.plan.order.epochs_at(step), 4)}

    def _show(
        self,
        record: dict[str, Any],
        result: Evaluation,
        guarded: Mapping[str, GuardResult],
        *,
        kind: str,
        remark: str,
        is_best: bool,
    ) -> None:
        self.outputs.metrics.write(kind, **record)
        self.display.evaluated(result.seconds + sum(guard.seconds for guard in guarded.values()))
        remarks = [remark, best_so_far(record, self.progress.scores.get("baseline")) if is_best else ""]
        remarks += [f"breaks guard {name}" for name, _ in broken_guards(record)]
        self.display.show_scores(record, result.scored, remark=", ".join(filter(None, remarks)))

    def _keep_transcripts(
        self, record: Mapping[str, Any], result: Evaluation, guarded: Mapping[str, GuardResult], *, turn: int
    ) -> None:
        folder = self.outputs.output_dir
        self._write_down(result.scored, folder / "evaluations" / transcripts_file(record), turn)
        for name, of_guard in guarded.items():
            self._write_down(of_guard.scored, guard_file(folder, name, record), turn)

    def _keep(self, whole: WhisperForConditionalGeneration, *, is_best: bool, turn: int) -> None:
        """Write summary.json and, if it is the best so far, the model."""
        if is_best:
            self.outputs.snapshot.take_weights(whole, step=turn)
        scores = dict(self.progress.scores)

        def write() -> None:
            write_json(self.outputs.output_dir / "summary.json", scores)
            if is_best:
                with folder_written_whole(self.outputs.output_dir / "best") as folder:
                    self.outputs.snapshot.save_model_folder(folder)
            if is_best and self.outputs.snapshot.has_adapters:
                with folder_written_whole(self.outputs.output_dir / "best_adapter") as folder:
                    self.outputs.snapshot.save_adapter_folder(folder)

        self.outputs.written.hand_over(write, step=turn)

    def _score(self, whole: WhisperForConditionalGeneration) -> Evaluation:
        shortage, decoding = MemoryShortage(self.accelerator, self.outputs.output_dir), self.job.decoding
        explained = shortage.explained_in_evaluation(
            self.progress.step, batch_size=decoding.batch_size, num_beams=decoding.num_beams
        )
        with explained, self.display.evaluation_bar(len(self.job.data.validation)) as bar:
            return evaluate_model(
                whole,
                self.job.validation_items,
                decoding,
                accelerator=self.accelerator,
                collator=self.job.collator,
                agreement=self.agreement,
                on_batch=lambda utterances: advance(bar, utterances, processes=self.accelerator.num_processes),
            )

    def _guards_are_due(self, step: int) -> bool:
        """At the baseline, at every N-th evaluation, and at the last."""
        evaluations = [0, *self.plan.cadence.evaluation_steps()]
        return step in evaluations[:: self.settings.guard_every] or step >= evaluations[-1]

    def _guard_records(self, name: str, results: Mapping[str, GuardResult]) -> dict[str, Any]:
        if not results:
            return {}
        baseline = None if name == "baseline" else self.progress.scores["baseline"]["guards"]
        return {"guards": self.guards.records(results, baseline)}

    def _remember(self, name: str, record: dict[str, Any]) -> bool:
        """Whether it is the best so far; ties keep the earlier."""
        if name == "last":
            self.plan.early_stopping.count(self.progress, record["wer"])
        return remember(self.progress.scores, name, record, guarded=bool(self.job.guards))

    def _say_if_it_ends(self, place: dict[str, Any] | None) -> None:
        """Say that the run ends early, where it does, and write a line if it is at a new `place`."""
        rule = self.plan.early_stopping
        if rule.ends(self.progress):
            evaluations = self.progress.evaluations_without_gain
            why: dict[str, Any] = {"last_step": rule.last_step, "evaluations": evaluations, "threshold": rule.threshold}
            self.display.say(early_stop_in_words(step=self.progress.step, **why))
            if place is not None:
                self.outputs.metrics.write("early_stop", **place, **why)

    def _log_samples(self, result: Evaluation, step: int) -> None:
        shown = (utterance.transcript for utterance in result.scored[: len(self.outputs.samples.utterances)])
        self.outputs.samples.log(
            step, [(transcript.utterance_id, transcript.reference, transcript.hypothesis) for transcript in shown]
        )

    def _write_down(self, scored: Sequence[ScoredUtterance], path: Path, turn: int) -> None:
        rows = (utterance.to_json() for utterance in scored)
        self.outputs.written.hand_over(lambda: write_json_lines(path, rows), step=turn)


def best_so_far(record: Mapping[str, Any], baseline: Mapping[str, Any] | None) -> str:
    """That a trained model is the best so far, and whether it is any better than the untouched one."""
    if baseline is None or not record["wer"] >= baseline["wer"]:
        return "best so far"
    return f"best so far, {'worse' if record['wer'] > baseline['wer'] else 'no better'} than the baseline"
