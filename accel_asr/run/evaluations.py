"""The evaluations of a run: scored at its audio contexts, shown, written down, and the best model kept."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import nn
from transformers import WhisperForConditionalGeneration

from accel_asr.data.order.window_plan import WindowPlan
from accel_asr.data.streaming.stream_items import StreamPlan
from accel_asr.evaluation.contexts import full_context_problem
from accel_asr.evaluation.evaluating import Evaluation, evaluate_model
from accel_asr.files.atomic_writes import folder_written_whole, write_json, write_json_lines
from accel_asr.model.audio_context import SpeechContext
from accel_asr.ranks.agreement import Agreement
from accel_asr.run.display import Display
from accel_asr.run.job import Job
from accel_asr.training.launch.sharding import whole_model
from accel_asr.training.logs.metrics_log import MetricsLog
from accel_asr.training.logs.sample_log import SampleLog
from accel_asr.training.saving.checkpoint_state import Progress
from accel_asr.training.saving.snapshot import Snapshot
from accel_asr.training.saving.written_behind import WrittenBehind


@dataclass
class RunEvaluations:
    """Scores the model of a run as it is, and writes all of it down; `progress` learns the scores.

    Let go of it before the process group is left: it holds the prepared `model`.

    Args:
        context: How much of the window training hears, None where it is all of it.
        full_context_margin: As `evaluation.full_context_margin`.
    """

    job: Job
    model: nn.Module
    plan: WindowPlan | StreamPlan
    last_step: int
    context: SpeechContext | None
    full_context_margin: float
    accelerator: Accelerator
    agreement: Agreement
    output_dir: Path
    progress: Progress
    metrics: MetricsLog
    samples: SampleLog
    snapshot: Snapshot
    written: WrittenBehind
    display: Display

    def evaluate(self, name: str, step: int) -> None:
        """Score the model as it is, write all of it down, and keep the model if it is the best so far. A collective.

        A run that hears the speech alone is scored so at every evaluation, and at the whole window, which decides
        what is best, before it has begun and once its steps hear the whole window.

        Args:
            name: `baseline` before training, `last` after `step`.

        Raises:
            AgreedStopError: a stop was asked for; on every rank, and as if it had not begun.
        """
        whole = whole_model(self.accelerator, self.model)
        place = {"step": step, "epoch": round(self.plan.epochs_at(step), 4)}
        by_speech = self._score(whole, self.context) if self.context is not None else None
        by_speech_alone = self.context is not None and 0 < step < self.context.first_full_step(self.last_step)
        by_window = None if by_speech_alone else self._score(whole, None)
        self.progress.evaluated_step = step  # only now: what is stopped before is made up for by a resume
        speech_record = None
        if by_speech is not None:
            result = by_speech
            speech_record = {**place, **result.record()}
            self.metrics.write("eval_speech_context", **speech_record)
            self._write_down(result, "evaluations/speech_context", step)
            self.display.evaluated(result.seconds, of_speech=True)
            self.display.show_scores(speech_record, result.scored, remark="speech only")
            if by_window is None:
                self.display.say_time_of_evaluations(step)
                self._log_samples(result, step)
                return
        assert by_window is not None
        result = by_window
        record: dict[str, Any] = {**place, **result.record()}
        if speech_record is not None:
            record["speech_context"] = speech_record
        is_best = self._remember(name, record)
        self.metrics.write("eval", **record)
        remark = "baseline" if name == "baseline" else "best so far" if is_best else ""
        self.display.evaluated(result.seconds)
        self.display.show_scores(record, result.scored, remark=remark)
        problem = full_context_problem(record, self.progress.scores.get("baseline"), margin=self.full_context_margin)
        if problem is not None:
            self.display.say(problem)
        self.display.say_time_of_evaluations(step)
        self._log_samples(result, step)
        self._write_down(result, "evaluations", step)
        if is_best:
            self.snapshot.take_weights(whole, step=step)
        scores = dict(self.progress.scores)

        def write() -> None:
            write_json(self.output_dir / "summary.json", scores)
            if is_best:
                with folder_written_whole(self.output_dir / "best") as folder:
                    self.snapshot.save_model_folder(folder)

        self.written.hand_over(write, step=step)

    def _score(self, whole: WhisperForConditionalGeneration, audio_context: SpeechContext | None) -> Evaluation:
        with self.display.evaluation_bar(len(self.job.data.validation)) as bar:
            return evaluate_model(
                whole,
                self.job.validation_items,
                replace(self.job.decoding, audio_context=audio_context),
                accelerator=self.accelerator,
                collator=self.job.collator,
                agreement=self.agreement,
                on_batch=lambda utterances: bar.update(utterances * self.accelerator.num_processes),
            )

    def _remember(self, name: str, record: dict[str, Any]) -> bool:
        """Whether it is the best so far; ties keep the earlier."""
        scores = self.progress.scores
        best = scores.get("best")
        is_best = name != "baseline" and (best is None or record["wer"] < best["wer"])
        scores[name] = record
        if is_best:
            scores["best"] = record
        return is_best

    def _log_samples(self, result: Evaluation, step: int) -> None:
        shown = (utterance.transcript for utterance in result.scored[: len(self.samples.utterances)])
        self.samples.log(
            step, [(transcript.utterance_id, transcript.reference, transcript.hypothesis) for transcript in shown]
        )

    def _write_down(self, result: Evaluation, folder: str, step: int) -> None:
        rows = (utterance.to_json() for utterance in result.scored)
        path = self.output_dir / folder / f"step-{step:08d}.jsonl"
        self.written.hand_over(lambda: write_json_lines(path, rows), step=step)
