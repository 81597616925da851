"""What a run writes: its description, metrics.jsonl, trackers, samples, and the thread that writes behind training."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import nn

from accel_asr.config.command_line import write_config
from accel_asr.config.settings import Config
from accel_asr.console.public_text import public_values
from accel_asr.files.atomic_writes import folder_written_whole, write_json
from accel_asr.files.run_folder import CONFIG_FILE, failed_writes_explained
from accel_asr.model.parts import parameters_by_part
from accel_asr.ranks.main_process import write_on_main_process
from accel_asr.run.display import Display
from accel_asr.run.job import Job
from accel_asr.run.training_plan import RunPlan
from accel_asr.training.launch.environment import describe_environment
from accel_asr.training.logs.metrics_log import MetricsLog
from accel_asr.training.logs.sample_log import SampleLog
from accel_asr.training.logs.trackers import start_trackers
from accel_asr.training.optimizers import WHOLE_STATES
from accel_asr.training.saving.checkpoint_state import Progress
from accel_asr.training.saving.snapshot import Snapshot
from accel_asr.training.saving.written_behind import WrittenBehind


@dataclass(frozen=True)
class RunOutputs:
    """Where a run writes; open on every rank, written by the main process."""

    output_dir: Path
    metrics: MetricsLog
    samples: SampleLog
    written: WrittenBehind
    snapshot: Snapshot

    @classmethod
    def open(
        cls,
        config: Config,
        job: Job,
        plan: RunPlan,
        progress: Progress,
        *,
        model: nn.Module,
        accelerator: Accelerator,
        display: Display,
    ) -> "RunOutputs":
        """Start the trackers, describe the run, and continue its files from `progress`. A collective.

        Args:
            model: As prepared.

        Raises:
            UserError: a tracker does not start, or the folder can't be written; on every rank.
        """
        output_dir, tracking = Path(str(config.output_dir)), config.tracking
        start_trackers(
            accelerator,
            report_to=tracking.report_to,
            project_name=tracking.project_name,
            output_dir=output_dir,
            first_step=progress.step + 1,
            configuration=config.to_dict(),
            say=display.say,
        )
        describe = partial(_describe, output_dir, config, job, accelerator)
        write_on_main_process(accelerator, output_dir, describe)
        with failed_writes_explained(output_dir):
            metrics = MetricsLog(
                output_dir / "metrics.jsonl", accelerator=accelerator, keep_bytes=progress.metrics_bytes
            )
        if progress.step and progress.measured_since == progress.step:
            metrics.write("measured_otherwise", progress.step, plan.order.epochs_at(progress.step))
        samples = SampleLog(
            accelerator,
            job.data.validation[: tracking.log_samples],
            sampling_rate_hz=job.processor.feature_extractor.sampling_rate,
            output_dir=output_dir,
            first_step=progress.step + 1,
            say=display.say,
        )
        written = WrittenBehind(accelerator, output_dir)
        snapshot = Snapshot(
            accelerator.unwrap_model(model),
            job.processor,
            is_main_process=accelerator.is_main_process,
            written=written,
            moments=WHOLE_STATES.get(config.training.optim, ()),
        )
        return cls(output_dir, metrics, samples, written, snapshot)

    def write_last(self, job: Job, progress: Progress, model: nn.Module, *, accelerator: Accelerator) -> None:
        """Write `last/`, and data_summary.json with what training itself dropped. A collective."""
        left_out = {**progress.filtered, "unreadable": progress.unreadable}
        summary = {**public_values(job.data.summary), "left_out_in_training": left_out}
        self.snapshot.take_weights(accelerator.unwrap_model(model), step=progress.step)
        write = partial(_write_last, self.output_dir, summary, self.snapshot)
        write_on_main_process(accelerator, self.output_dir, write)

    def close(self) -> None:
        """Close the logs; the trackers are closed by `shut_down`."""
        self.metrics.close()
        self.samples.close()


def _describe(output_dir: Path, config: Config, job: Job, accelerator: Accelerator) -> None:
    with failed_writes_explained(output_dir):
        write_config(config, output_dir / CONFIG_FILE)
        environment = {**describe_environment(accelerator), "parameters": parameters_by_part(job.model)}
        write_json(output_dir / "environment.json", environment)
        write_json(output_dir / "data_summary.json", public_values(job.data.summary))


def _write_last(output_dir: Path, summary: dict[str, Any], snapshot: Snapshot) -> None:
    with failed_writes_explained(output_dir):
        write_json(output_dir / "data_summary.json", summary)
        with folder_written_whole(output_dir / "last") as folder:
            snapshot.save_model_folder(folder)
