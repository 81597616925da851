"""What is written and shown of each training step."""

from dataclasses import astuple, dataclass

from accel_asr.run.display import Display
from accel_asr.run.training_plan import RunPlan
from accel_asr.training.left_out import note_left_out
from accel_asr.training.logs.metrics_log import MetricsLog
from accel_asr.training.saving.checkpoint_state import Progress
from accel_asr.training.step import StepResult


@dataclass(frozen=True)
class StepLog:
    """Counts each step in `progress`, advances the display, and writes metrics.jsonl when a line is due."""

    progress: Progress
    plan: RunPlan
    metrics: MetricsLog
    display: Display
    logging_steps: int
    max_bad_fraction: float

    def add(self, step: int, result: StepResult, *, learning_rate: float, positions: int | None) -> None:
        """Count `step`, the same on every rank.

        Args:
            positions: What the encoder heard, None for its whole window.

        Raises:
            UserError: more recordings have failed than `data.max_bad_fraction` lets pass.
        """
        progress, epoch = self.progress, self.plan.order.epochs_at(step)
        progress.step = step
        progress.skipped_steps += result.skipped
        mean_loss = progress.add_loss(result.loss, result.target_tokens)
        self.display.show_step(result, learning_rate, loss=mean_loss, positions=positions or 1)
        if result.failed:
            self._add_failures(step, result)
        if step % self.logging_steps == 0 or step == self.plan.last_step:
            self.metrics.write(
                "train",
                step,
                epoch,
                loss=mean_loss,
                learning_rate=learning_rate,
                grad_norm=result.grad_norm,
                target_tokens=result.target_tokens,
                audio_seconds_per_second=round(self.display.audio_seconds_per_second(), 1),
                skipped_steps=progress.skipped_steps,
            )
            progress.loss_is_written()

    def _add_failures(self, step: int, result: StepResult) -> None:
        lines = note_left_out(
            result.failed,
            self.progress,
            step=step,
            rows=self.plan.order.rows_by(step),
            max_bad_fraction=self.max_bad_fraction,
        )
        for line in lines:
            self.display.say_fault(line)
        recordings = [astuple(item)[:2] for item in result.failed]
        self.metrics.write("left_out", step, self.plan.order.epochs_at(step), recordings=recordings)
