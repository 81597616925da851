"""What is written and shown of each training step."""

from dataclasses import astuple, dataclass

from accel_asr.run.data_wait import DataWait
from accel_asr.run.display import Display
from accel_asr.run.run_outputs import RunOutputs
from accel_asr.run.training_plan import RunPlan
from accel_asr.training.left_out import note_left_out
from accel_asr.training.saving.checkpoint_state import Progress
from accel_asr.training.saving.divergence import FiniteWeights
from accel_asr.training.started_step import StartedStep, StepResult

DEVICES_READ_LATE = ("cuda",)  # a CPU is not at work while the host is at something else


@dataclass
class StepLog:
    """Counts each step in `progress`, advances the display, and writes metrics.jsonl when a line is due.

    On DEVICES_READ_LATE the result of a step is read, and all that done, while the device makes the next one: the host
    has given it work before it waits. Where an evaluation or a checkpoint is due the result is read at once.
    """

    progress: Progress
    plan: RunPlan
    outputs: RunOutputs
    display: Display
    finite_weights: FiniteWeights
    data_wait: DataWait
    logging_steps: int
    max_bad_fraction: float
    _unread: tuple[int, StartedStep, float] | None = None

    @property
    def unread(self) -> StartedStep | None:
        """The step that has been started, and not counted yet."""
        return None if self._unread is None else self._unread[1]

    def add(self, step: int, started: StartedStep, *, learning_rate: float) -> None:
        """Count the step before, if it has not been, and `step`, now or later. The same on every rank.

        Raises:
            UserError: as `settle`.
        """
        self.settle()
        self._unread = step, started, learning_rate
        cadence, device = self.plan.cadence, self.finite_weights.accelerator.device
        is_needed = cadence.evaluates_after(step) or cadence.saves_after(step)
        if device.type not in DEVICES_READ_LATE or started.is_read or is_needed:
            self.settle()
        self.data_wait.step_ended()

    def settle(self) -> None:
        """Count the step whose result has not been read. A collective if it failed.

        Raises:
            UserError: its loss or gradient was not finite; or more recordings have failed than
                `data.max_bad_fraction` lets pass.
        """
        if self._unread is None:
            return
        (step, started, learning_rate), self._unread = self._unread, None
        with self.finite_weights.watched(step):
            result = started.result()
        self._count(step, result, learning_rate=learning_rate)

    def _count(self, step: int, result: StepResult, *, learning_rate: float) -> None:
        progress, epoch = self.progress, self.plan.order.epochs_at(step)
        progress.step = step
        progress.skipped_steps += result.skipped
        mean_loss = progress.add_loss(result.loss, result.target_tokens)
        self.display.show_step(result, learning_rate, loss=mean_loss)
        if result.failed:
            self._add_failures(step, result)
        if step % self.logging_steps == 0 or step == self.plan.last_step:
            self.outputs.metrics.write(
                "train",
                step,
                epoch,
                loss=mean_loss,
                learning_rate=learning_rate,
                grad_norm=result.grad_norm,
                target_tokens=result.target_tokens,
                audio_seconds_per_second=round(self.display.audio_seconds_per_second(), 1),
                data_wait_share=round(self.data_wait.share(), 3),
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
        self.outputs.metrics.write("left_out", step, self.plan.order.epochs_at(step), recordings=recordings)
