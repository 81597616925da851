"""Fine-tune Whisper: `accelerate launch accel_asr/train.py`. The whole job, top to bottom.

The command line is read before anything heavy is imported, so that a wrong setting is answered at once.
"""

import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if not __package__:  # started as a file: Python put accel_asr/ first on the path, where our modules could hide others
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from accel_asr.config.command_line import parse_config
from accel_asr.config.settings import Config
from accel_asr.console.bars import quiet_library_imports
from accel_asr.console.printing import guard_standard_streams
from accel_asr.errors import user_errors_exit
from accel_asr.files.run_folder import claim_run_folder, full_disk_explained
from accel_asr.model.folder.examination import refuse_unfit_folder
from accel_asr.quickstart import model_source
from accel_asr.ranks.processes import wait_passively

if TYPE_CHECKING:
    from accelerate import Accelerator

    from accel_asr.data.selection.utterances import Utterances
    from accel_asr.run.display import Display


def main(arguments: list[str] | None = None) -> int:
    """Read the settings and train; returns the exit code, 75 after a stop that was asked for.

    A mistake of the user's ends in one message and exit code 2.
    """
    guard_standard_streams()
    quiet_library_imports()
    with user_errors_exit(same_on_every_rank=True):
        config = parse_config(sys.argv[1:] if arguments is None else arguments)
        refuse_unfit_folder(model_source(config.model.name_or_path), name=config.model.name_or_path)
        claim_run_folder(Path(str(config.output_dir)), resume=config.checkpoint.resume)
    wait_passively()  # OpenMP's idle threads sleep: spinning, they take the time of those they wait for
    with user_errors_exit(), full_disk_explained(Path(str(config.output_dir))):
        return train(config)


def train(config: Config) -> int:
    """Train as `config` says, and leave the run folder behind. Called on every rank.

    Returns:
        0 when training came to its end, STOPPED_EXIT_CODE when a signal stopped it and a checkpoint was saved.

    Raises:
        UserError: something the user can mend; raised before training wherever that is possible.
    """
    from accel_asr.after_training import finish_run, require_may_push
    from accel_asr.run.display import Display
    from accel_asr.run.memory_shortage import MemoryShortage
    from accel_asr.training.launch.determinism import deterministic_kernels
    from accel_asr.training.launch.topology import accelerator_of_run, shut_down
    from accel_asr.training.stopping import STOPPED_EXIT_CODE

    with deterministic_kernels(config.training.deterministic):
        # processes, devices and precision come from the launcher
        accelerator = accelerator_of_run(config.training, frozen_dtype=config.model.frozen_dtype)
        display = Display(accelerator)
        require_may_push(config.hub, Path(str(config.output_dir)), accelerator=accelerator, display=display)
        with MemoryShortage(accelerator, Path(str(config.output_dir))).ends_every_rank():
            result = fine_tune(config, accelerator, display)
    shut_down(accelerator)  # nothing holds the prepared model any more
    if result.is_stopped:
        return STOPPED_EXIT_CODE
    if display.is_main:
        finish_run(config, result.scores, result.validation, display=display)
    return 0


class TrainingResult(NamedTuple):
    """How training ended. scores: the records of summary.json; validation: the utterances scored."""

    is_stopped: bool
    scores: dict[str, dict[str, Any]]
    validation: "Utterances"


def fine_tune(config: Config, accelerator: "Accelerator", display: "Display") -> TrainingResult:
    """Train, evaluate and save: the steps that are left, or until a signal stops it. A collective."""
    from accel_asr.data.loading.worker_count import num_workers_of_rank
    from accel_asr.ranks.agreement import Agreement
    from accel_asr.run.candidates import score_candidates
    from accel_asr.run.data_wait import DataWait
    from accel_asr.run.evaluations import RunEvaluations
    from accel_asr.run.job import load_job
    from accel_asr.run.memory_shortage import MemoryShortage
    from accel_asr.run.opening import say_what_is_to_come
    from accel_asr.run.prepared_model import prepare_model
    from accel_asr.run.run_checkpoints import RunCheckpoints, RunIdentity, place_in_stream, resume
    from accel_asr.run.run_outputs import RunOutputs
    from accel_asr.run.step_log import StepLog
    from accel_asr.run.training_plan import plan_run
    from accel_asr.training.averages import MovingAverage
    from accel_asr.training.saving.divergence import FiniteWeights
    from accel_asr.training.schedule import set_learning_rate
    from accel_asr.training.step import start_step
    from accel_asr.training.stopping import SavedAtTheEnd, StopRequests

    training, evaluation, saving, tracking = config.training, config.evaluation, config.checkpoint, config.tracking
    output_dir = Path(str(config.output_dir))

    # 1. Model and data: loaded, decoded and checked now, all of it
    job = load_job(config, accelerator.device)
    display.say_lines(job.data.notices)

    # 2. Plan: the micro-batch; which utterances, which rate in which step; what is due when
    plan = plan_run(job, config, accelerator=accelerator, display=display)
    schedule, cadence = plan.schedule, plan.cadence
    config = replace(config, training=plan.training)  # so config.yaml repeats the run

    # 3. Prepare model and optimizer, and resume if there is something to resume
    identity = RunIdentity.of_run(config, job, plan, mixed_precision=accelerator.mixed_precision)
    model, optimizer = prepare_model(job, config, learning_rate=schedule.peak, accelerator=accelerator, display=display)
    ema = MovingAverage(accelerator.unwrap_model(model), training.ema_decay)
    progress = resume(
        saving, identity, model, optimizer, ema, accelerator=accelerator, output_dir=output_dir, display=display
    )

    # 4. What the loop works with
    outputs = RunOutputs.open(config, job, plan, progress, model=model, accelerator=accelerator, display=display)
    finite_weights = FiniteWeights(
        model, accelerator, output_dir, schedule.peak, training.weight_decay, outputs.written
    )
    num_workers = num_workers_of_rank(training.dataloader_num_workers, device=accelerator.device)
    global_batches = job.windows(
        plan.order,
        rank=accelerator.process_index,
        first_step=progress.step + 1,
        last_step=plan.last_step,
        place=place_in_stream(progress, accelerator.process_index),
        num_workers=num_workers,
        pin_memory=accelerator.device.type == "cuda",
    )
    shortage, stop = MemoryShortage(accelerator, output_dir), StopRequests()
    # a write that has failed ends the run now, when the next save hears of it, and not an epoch later
    agreement = Agreement(accelerator, lambda: stop.received is not None or outputs.written.has_failed)
    waits = DataWait(global_batches.ready, display=display, device=accelerator.device, num_workers=num_workers)
    log = StepLog(
        progress, plan, outputs, display, finite_weights, waits, tracking.logging_steps, config.data.max_bad_fraction
    )
    evaluations = RunEvaluations(job, model, plan, evaluation, accelerator, agreement, progress, outputs, display)
    checkpoints = RunCheckpoints(
        identity, model, optimizer, ema, accelerator, progress, global_batches, outputs, log, finite_weights, saving
    )
    say_what_is_to_come(
        display,
        plan,
        job,
        progress,
        model=model,
        optim=training.optim,
        window_sum=identity.geometry.window_sum(),
        evaluates_first=evaluation.eval_on_start,
        saving=saving,
        accelerator=accelerator,
    )

    # 5. Train. A stop is agreed on while the ranks wait for a global batch; a checkpoint is saved then, as at the end
    with stop, closing(global_batches), outputs.written, SavedAtTheEnd(checkpoints.save) as ending:
        evaluations.before_training(checkpoints.save)
        display.start_training(first_step=progress.step + 1, last_step=plan.last_step)
        model.train()
        for step in plan.early_stopping.steps_left(progress):
            # take a window, the global batch: this rank's micro-batches
            window = agreement.wait(waits.ready)

            # step; updates that fp16's loss scaler skipped do not advance the schedule
            learning_rate = schedule.learning_rate(step - progress.skipped_steps)
            set_learning_rate(optimizer, learning_rate)
            with finite_weights.watched(step), shortage.explained_in_step(step, window):
                started = start_step(
                    model,
                    optimizer,
                    window,
                    accelerator=accelerator,
                    max_grad_norm=training.max_grad_norm,
                    label_smoothing=training.label_smoothing_factor,
                    before=log.unread,
                )
            ema.update(skipped=started.is_skipped)

            # log; a GPU is still at work on the step, so the one before is read and logged here, unless this is needed
            log.add(step, started, learning_rate=learning_rate)

            # evaluate and save, where it is due
            with display.paused():
                if cadence.evaluates_after(step):
                    finite_weights.require(step)
                    evaluations.evaluate("last", step)
                if cadence.saves_after(step) or plan.early_stopping.ends(progress):
                    checkpoints.save()
        score_candidates(evaluations, checkpoints)
        evaluations.examine_best()
    display.close_bar()

    # 6. Leave the last model behind
    if ending.is_stopped:
        display.say_stopped(progress.step, plan.last_step)
    else:
        outputs.write_last(job, progress, model, accelerator=accelerator)
        display.say_left_out(progress.filtered, progress.unreadable)
    outputs.close()
    accelerator.wait_for_everyone()  # a launcher ends the others as soon as one rank has ended
    return TrainingResult(ending.is_stopped, progress.scores, job.data.validation)


if __name__ == "__main__":
    sys.exit(main())
