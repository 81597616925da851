"""The checkpoints of a run: what it is compared by when it resumes, resuming, and saving."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from accelerate.utils import gather_object
from torch import nn

from accel_asr.config.settings import CheckpointConfig, Config
from accel_asr.data.loading.batches import TrainingWindows
from accel_asr.data.selection.preparation import fingerprint
from accel_asr.data.streaming.stream_items import StreamWindows
from accel_asr.data.streaming.streams import Place
from accel_asr.model.pretrained import base_digest, parameter_counts
from accel_asr.run.display import Display
from accel_asr.run.job import Job
from accel_asr.run.run_outputs import RunOutputs
from accel_asr.run.step_log import StepLog
from accel_asr.run.training_plan import RunPlan
from accel_asr.training.averages import MovingAverage
from accel_asr.training.saving import checkpoints
from accel_asr.training.saving.checkpoint_state import Geometry, Progress
from accel_asr.training.saving.divergence import FiniteWeights
from accel_asr.training.saving.kept_best import put_aside_lost_best
from accel_asr.training.saving.recorded_settings import RecordedSettings, recorded


@dataclass(frozen=True)
class RunIdentity:
    """What a resumed run must have in common with the run that made the checkpoint."""

    geometry: Geometry
    settings: RecordedSettings

    @classmethod
    def of_run(cls, config: Config, job: Job, plan: RunPlan, *, mixed_precision: str) -> "RunIdentity":
        """That of a run whose model is loaded, and neither prepared nor trained yet.

        Args:
            mixed_precision: In use, whoever chose it.
        """
        order = plan.order
        geometry = Geometry(
            train_utterances=order.num_rows,
            train_data=job.fingerprint(),
            seed=order.seed,
            steps_per_epoch=order.steps_per_epoch,
            model_parameters=parameter_counts(job.model)[0],
            num_processes=order.num_processes,
            accumulation_steps=order.accumulation_steps,
            micro_batch_size=order.batch_seconds or order.micro_batch_size,
            order=order.order_checksum,
        )
        language = job.decoding.language
        settings = RecordedSettings(
            recorded(
                config.to_dict(),
                model__language=language if config.model.language else None,
                data__timestamps_probability=config.timestamps_probability,
                data__previous_text_probability=config.previous_text_probability,
                training__mixed_precision=mixed_precision,
                augment__noise_dir=job.noise_fingerprint(),
            ),
            base_model=base_digest(job.model, job.processor),
            validation_data=fingerprint(job.data.validation),
            validation_utterances=len(job.data.validation),
            last_step=plan.last_step,
        )
        return cls(geometry, settings)


def resume(
    config: CheckpointConfig,
    identity: RunIdentity,
    model: nn.Module,
    optimizer: AcceleratedOptimizer,
    average: MovingAverage,
    *,
    accelerator: Accelerator,
    output_dir: Path,
    display: Display,
) -> Progress:
    """Put everything back as the newest intact checkpoint has it. A collective.

    Returns:
        How far the run is: nowhere if it is not to be resumed, or has no checkpoint.

    Raises:
        UserError: the checkpoint can't be resumed by this run; see `restore_checkpoint`.
    """
    if not config.resume:
        return Progress()
    checkpoint, notices = checkpoints.find_checkpoint(output_dir)
    progress = Progress()
    if checkpoint is not None:
        progress, differences = checkpoints.restore_checkpoint(
            checkpoint,
            accelerator=accelerator,
            model=model,
            optimizer=optimizer,
            geometry=identity.geometry,
            settings=identity.settings,
            allow_changes=config.allow_changes,
            average=average,
        )
        notices += [*differences, *put_aside_lost_best(output_dir, progress)]
        notices.append(f"resumed after step {progress.step} of {identity.settings.last_step} from {checkpoint}")
    display.say_lines(notices)
    return progress


@dataclass
class RunCheckpoints:
    """Saves a run as it is now. It holds the prepared `model`, so drop it before leaving the process group."""

    identity: RunIdentity
    model: nn.Module
    optimizer: AcceleratedOptimizer
    average: MovingAverage
    accelerator: Accelerator
    progress: Progress
    windows: TrainingWindows | StreamWindows
    outputs: RunOutputs
    log: StepLog
    finite_weights: FiniteWeights
    settings: CheckpointConfig
    _saved: list[tuple[object, ...]] = field(init=False)  # of the newest

    def __post_init__(self) -> None:
        self._saved = self._state()

    def save(self) -> None:
        """Save a checkpoint, unless this state is already saved. A collective."""
        self.log.settle()  # the weights are those after its step
        progress = self.progress
        if self._saved == self._state():
            return
        self._saved = self._state()
        self.finite_weights.require(progress.step)
        progress.metrics_bytes = self.outputs.metrics.size_bytes()
        if self.windows.place is not None:
            progress.places = [asdict(place) for place in gather_object([self.windows.place])]
        checkpoints.save_checkpoint(
            self.outputs.output_dir,
            accelerator=self.accelerator,
            model=self.model,
            optimizer=self.optimizer,
            progress=progress,
            geometry=self.identity.geometry,
            settings=self.identity.settings,
            save_total_limit=self.settings.save_total_limit,
            snapshot=self.outputs.snapshot,
            written=self.outputs.written,
            average=self.average,
        )

    def _state(self) -> list[tuple[object, ...]]:
        """What tells one state of the run from another: its step, and which weights were scored."""
        scored = [(name, record["step"], record.get("weights")) for name, record in self.progress.scores.items()]
        return [("step", self.progress.step), ("evaluated", self.progress.evaluated_step), *scored]


def place_in_stream(progress: Progress, rank: int) -> Place | None:
    """Where `rank` resumes in its stream; None at the beginning, or without a stream."""
    return Place(**progress.places[rank]) if progress.places else None
