"""Fine-tune Whisper: `accelerate launch accel_asr/train.py`. The whole job, top to bottom.

The command line is read before anything heavy is imported, so that a wrong setting is answered at once.
"""

import sys
from pathlib import Path

if not __package__:  # started as a file: Python put accel_asr/ first on the path, where our modules could hide others
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from accel_asr.config.command_line import parse_config, write_config
from accel_asr.config.settings import Config
from accel_asr.console.bars import quiet_bars_of_libraries
from accel_asr.console.printing import guard_standard_streams
from accel_asr.console.public_text import public_values
from accel_asr.errors import UserError, user_errors_exit
from accel_asr.files.atomic_writes import folder_written_whole, write_json
from accel_asr.files.run_folder import CONFIG_FILE, claim_run_folder, failed_writes_explained, full_disk_explained
from accel_asr.model.folder.examination import refuse_unfit_folder
from accel_asr.quickstart import model_source
from accel_asr.ranks.processes import wait_passively


def main(arguments: list[str] | None = None) -> int:
    """Read the settings and train; returns the exit code, 75 after a stop that was asked for.

    A mistake of the user's ends in one message and exit code 2.
    """
    guard_standard_streams()
    quiet_bars_of_libraries()
    with user_errors_exit(same_on_every_rank=True):
        config = parse_config(sys.argv[1:] if arguments is None else arguments)
        refuse_unfit_folder(model_source(config.model.name_or_path), name=config.model.name_or_path)
        claim_run_folder(Path(str(config.output_dir)), resume=config.checkpoint.resume)
    wait_passively()
    with user_errors_exit(), full_disk_explained(Path(str(config.output_dir))):
        return train(config)


def train(config: Config) -> int:
    """Train as `config` says, and leave the run folder behind. Called on every rank.

    Returns:
        0 when training came to its end, STOPPED_EXIT_CODE when a signal stopped it and a checkpoint was saved.

    Raises:
        UserError: something the user can mend; found before training wherever it can be.
    """
    import time
    from contextlib import closing
    from dataclasses import asdict, astuple, replace

    from accelerate.utils import gather_object

    from accel_asr.data.order.window_plan import WindowPlan
    from accel_asr.data.selection.preparation import fingerprint
    from accel_asr.data.streaming.streams import Place
    from accel_asr.evaluation.contexts import full_context_problem
    from accel_asr.model import pretrained as modeling
    from accel_asr.model.audio_context import SpeechContext
    from accel_asr.publishing.hub import check_may_push, push_run
    from accel_asr.ranks.agreement import Agreement
    from accel_asr.ranks.main_process import write_on_main_process
    from accel_asr.reporting.end_of_run import report_finished_run
    from accel_asr.run.display import Display, note_on_times
    from accel_asr.run.evaluations import RunEvaluations
    from accel_asr.run.forecast import RunForecast, evaluation_steps, opening_lines, warmup_note
    from accel_asr.run.job import load_job, plan_learning_rate, plan_training
    from accel_asr.training.encoder_filling import fill_encoder_cache
    from accel_asr.training.launch.environment import describe_environment
    from accel_asr.training.launch.sharding import whole_model
    from accel_asr.training.launch.topology import shut_down, start_accelerator
    from accel_asr.training.left_out import note_left_out
    from accel_asr.training.logs.metrics_log import MetricsLog
    from accel_asr.training.logs.sample_log import SampleLog
    from accel_asr.training.logs.trackers import start_trackers
    from accel_asr.training.saving.checkpoint_state import Geometry, Progress
    from accel_asr.training.saving.checkpoints import find_checkpoint, restore_checkpoint, save_checkpoint
    from accel_asr.training.saving.divergence import require_finite_weights
    from accel_asr.training.saving.kept_best import put_aside_lost_best
    from accel_asr.training.saving.recorded_settings import RecordedSettings, recorded
    from accel_asr.training.saving.snapshot import Snapshot
    from accel_asr.training.saving.written_behind import WrittenBehind
    from accel_asr.training.schedule import learning_rate_at, set_learning_rate
    from accel_asr.training.step import NonFiniteError, build_optimizer, settle_gradient_buckets, train_step
    from accel_asr.training.stopping import STOPPED_EXIT_CODE, SavedAtTheEnd, StopRequests

    training, evaluation = config.training, config.evaluation
    output_dir = Path(str(config.output_dir))

    # 1. Topology: processes, devices and precision come from the launcher
    accelerator = start_accelerator(
        mixed_precision=training.mixed_precision,
        gradient_accumulation_steps=training.gradient_accumulation_steps,
        seed=training.seed,
        timeout_s=training.ddp_timeout,
    )
    display = Display(accelerator)
    if config.hub.push_to_hub:  # what the Hub would refuse then is refused now
        assert config.hub.hub_model_id is not None  # check_config saw to it
        hub_model_id, private = config.hub.hub_model_id, config.hub.hub_private_repo
        write_on_main_process(
            accelerator, output_dir, lambda: check_may_push(hub_model_id, private=private, say=display.say)
        )

    # 2. Model and data: loaded, decoded and checked now, all of it
    job = load_job(
        config.model,
        config.data,
        config.evaluation,
        seed=training.seed,
        num_workers=training.dataloader_num_workers,
        device=accelerator.device,
        pack=training.pack,
    )
    model, processor, data = job.model, job.processor, job.data
    for notice in data.notices:
        display.say_line(notice)
    base_model, language = modeling.base_digest(model, processor), job.decoding.language

    # 3. Plan: which utterances are in which step of which rank, and how much of its window the encoder hears
    plan, last_step = plan_training(training, data, num_processes=accelerator.num_processes)
    peak, warmup_steps = plan_learning_rate(training, model, last_step=last_step, say=display.say)
    training = replace(training, learning_rate=peak)
    config = replace(config, training=training)  # so that config.yaml repeats the run
    context = None
    if training.audio_context == "speech":
        context = SpeechContext.of_model(model, window_s=modeling.window_s(processor))

    # 4. Optimizer. The schedule is not prepared: Accelerate steps a prepared one num_processes times
    model.to(accelerator.device)
    if job.train_items.encoder_cache is not None:
        with display.filling_bar(len(data.train)) as bar:
            renewed = fill_encoder_cache(
                model,
                job.train_items.encoder_cache,
                data.train,
                feature_extractor=processor.feature_extractor,
                rank=accelerator.process_index,
                num_processes=accelerator.num_processes,
                num_workers=training.dataloader_num_workers,
                on_progress=lambda kept: bar.update(kept - bar.n),
            )
        renewed = sum(gather_object([renewed]))
        if renewed:
            display.say(f"model.cache_encoder_outputs: {renewed:,} clips were not what was kept, and are computed anew")
    optimizer = build_optimizer(model, learning_rate=peak, weight_decay=training.weight_decay)
    model, optimizer = accelerator.prepare(model, optimizer)

    # 5. Resume, or describe the new run
    settle_gradient_buckets(model, job.train_collator([]), accelerator=accelerator)
    geometry = Geometry(
        train_utterances=plan.num_rows,
        train_data=job.fingerprint(),
        seed=training.seed,
        steps_per_epoch=plan.steps_per_epoch,
        model_parameters=modeling.parameter_counts(accelerator.unwrap_model(model))[0],
        num_processes=plan.num_processes,
        accumulation_steps=plan.accumulation_steps,
        micro_batch_size=plan.batch_seconds or plan.micro_batch_size,
        order=plan.order_checksum,
    )
    settings = RecordedSettings(
        recorded(
            config.to_dict(),
            model__language=language if config.model.language else None,
            training__mixed_precision=accelerator.mixed_precision,
        ),
        base_model=base_model,
        validation_data=fingerprint(data.validation),
        validation_utterances=len(data.validation),
        last_step=last_step,
    )
    progress = Progress()
    if config.checkpoint.resume:
        checkpoint, notices = find_checkpoint(output_dir)
        if checkpoint is not None:
            progress, differences = restore_checkpoint(
                checkpoint,
                accelerator=accelerator,
                model=model,
                optimizer=optimizer,
                geometry=geometry,
                settings=settings,
                allow_changes=config.checkpoint.allow_changes,
            )
            notices += [*differences, *put_aside_lost_best(output_dir, progress)]
            notices.append(f"resumed after step {progress.step} of {last_step} from {checkpoint}")
        for notice in notices:
            display.say_line(notice)

    tracking = config.tracking
    start_trackers(
        accelerator,
        report_to=tracking.report_to,
        project_name=tracking.project_name,
        output_dir=output_dir,
        first_step=progress.step + 1,
        configuration=config.to_dict(),
        say=display.say,
    )

    def describe_run() -> None:
        with failed_writes_explained(output_dir):
            write_config(config, output_dir / CONFIG_FILE)
            write_json(output_dir / "environment.json", describe_environment(accelerator))
            write_json(output_dir / "data_summary.json", public_values(data.summary))

    write_on_main_process(accelerator, output_dir, describe_run)
    with failed_writes_explained(output_dir):
        metrics = MetricsLog(output_dir / "metrics.jsonl", accelerator=accelerator, keep_bytes=progress.metrics_bytes)
    if progress.step and progress.measured_since == progress.step:
        metrics.write("measured_otherwise", progress.step, plan.epochs_at(progress.step))
    samples = SampleLog(
        accelerator,
        data.validation[: tracking.log_samples],
        sampling_rate_hz=processor.feature_extractor.sampling_rate,
        output_dir=output_dir,
        first_step=progress.step + 1,
        say=display.say,
    )

    written = WrittenBehind(accelerator, output_dir)
    snapshot = Snapshot(
        accelerator.unwrap_model(model), processor, is_main_process=accelerator.is_main_process, written=written
    )

    stop = StopRequests()
    # a write that has failed ends the run now, when `save` hears of it, and not an epoch later
    agreement = Agreement(accelerator, lambda: stop.received is not None or written.has_failed)
    evaluations = RunEvaluations(
        job=job,
        model=model,
        plan=plan,
        last_step=last_step,
        context=context,
        full_context_margin=evaluation.full_context_margin,
        accelerator=accelerator,
        agreement=agreement,
        output_dir=output_dir,
        progress=progress,
        metrics=metrics,
        samples=samples,
        snapshot=snapshot,
        written=written,
        display=display,
    )

    saved = (progress.step, progress.evaluated_step)

    def save() -> None:
        """Save a checkpoint, unless there is one of just this."""
        nonlocal saved
        if saved == (progress.step, progress.evaluated_step):
            return
        saved = (progress.step, progress.evaluated_step)
        require_finite(progress.step)
        progress.metrics_bytes = metrics.size_bytes()
        if windows.place is not None:
            progress.places = [asdict(place) for place in gather_object([windows.place])]
        save_checkpoint(
            output_dir,
            accelerator=accelerator,
            model=model,
            optimizer=optimizer,
            progress=progress,
            geometry=geometry,
            settings=settings,
            save_total_limit=config.checkpoint.save_total_limit,
            snapshot=snapshot,
            written=written,
        )

    def require_finite(step: int) -> None:
        """End the run if its weights are not finite: what has diverged is neither scored nor kept."""
        require_finite_weights(
            model,
            accelerator=accelerator,
            output_dir=output_dir,
            step=step,
            learning_rate=peak,
            weight_decay=training.weight_decay,
            written=written,
        )

    def frames_heard(step: int) -> int:
        assert context is not None
        assert isinstance(plan, WindowPlan)  # check_config saw to it
        longest_s = plan.longest_s(step)
        return 2 * context.positions_at(step, longest_s, last_step=last_step, seed=training.seed)

    def evaluation_is_due(step: int) -> bool:
        every = evaluation.eval_steps
        return step == last_step or (step % every == 0 if every else plan.ends_epoch(step))

    # 6. Train: one window of the global batch, one update, one step
    windows = job.windows(
        plan,
        rank=accelerator.process_index,
        first_step=progress.step + 1,
        last_step=last_step,
        place=Place(**progress.places[accelerator.process_index]) if progress.places else None,
        num_workers=training.dataloader_num_workers,
        pin_memory=accelerator.device.type == "cuda",
    )
    forecast = display.forecast = RunForecast(
        first_step=progress.step + 1,
        last_step=last_step,
        evaluation_steps=evaluation_steps(plan, every=evaluation.eval_steps, last_step=last_step),
        full_positions=1 if context is None else context.full_positions,
        first_full_step=None if context is None else context.first_full_step(last_step),
        device=accelerator.device,
    )
    parameters, trainable = modeling.parameter_counts(accelerator.unwrap_model(model))
    for line in opening_lines(
        forecast,
        parameters=parameters,
        trainable=trainable,
        epochs=plan.epochs_at(last_step),
        window_sum=geometry.window_sum(),
        unit="seconds of audio" if plan.batch_seconds else plan.unit,
        validation_utterances=len(data.validation),
        evaluates_first=evaluation.eval_on_start,
        is_main_process=accelerator.is_main_process,
    ):
        display.say(line)
    note = warmup_note(warmup_steps=warmup_steps, last_step=last_step, learning_rate=peak)
    if note is not None:
        display.say(note)
    with stop, closing(windows), written, SavedAtTheEnd(save) as ending:
        if progress.step == 0:
            if evaluation.eval_on_start:
                evaluations.evaluate("baseline", step=0)
        elif evaluation_is_due(progress.step) and progress.evaluated_step != progress.step:
            evaluations.evaluate("last", progress.step)  # the run was stopped before it, or measured otherwise
            save()
        display.start_training(first_step=progress.step + 1, last_step=last_step)
        model.train()
        for step in range(progress.step + 1, last_step + 1):
            batches = agreement.wait(windows.ready)
            learning_rate = learning_rate_at(
                step - progress.skipped_steps,
                peak=peak,
                warmup_steps=warmup_steps,
                last_step=last_step,
                scheduler_type=training.lr_scheduler_type,
            )
            set_learning_rate(optimizer, learning_rate)
            frames = None if context is None else frames_heard(step)
            window = batches if frames is None else [batch.heard(frames) for batch in batches]
            try:
                result = train_step(
                    model,
                    optimizer,
                    window,
                    accelerator=accelerator,
                    max_grad_norm=training.max_grad_norm,
                )
            except NonFiniteError as error:
                require_finite(step - 1)  # else the batch is innocent
                decay = f" or --training.weight_decay (now {training.weight_decay:g})" if training.weight_decay else ""
                raise UserError(
                    f"training stopped at step {step}, before its update: {error}. Look at these utterances, or lower "
                    f"--training.learning_rate (now {peak:g}){decay}",
                    same_on_every_rank=True,
                ) from error
            progress.step = step
            progress.skipped_steps += result.skipped
            mean_loss = progress.add_loss(result.loss, result.target_tokens)
            display.show_step(result, learning_rate, loss=mean_loss, positions=1 if frames is None else frames // 2)
            if result.failed:
                told = note_left_out(
                    result.failed,
                    progress,
                    step=step,
                    rows=plan.rows_by(step),
                    max_bad_fraction=config.data.max_bad_fraction,
                )
                for line in told:
                    display.say_fault(line)
                metrics.write(
                    "left_out", step, plan.epochs_at(step), recordings=[astuple(item)[:2] for item in result.failed]
                )
            is_last = step == last_step
            if step % config.tracking.logging_steps == 0 or is_last:
                metrics.write(
                    "train",
                    step,
                    plan.epochs_at(step),
                    loss=mean_loss,
                    learning_rate=learning_rate,
                    grad_norm=result.grad_norm,
                    target_tokens=result.target_tokens,
                    audio_seconds_per_second=round(display.audio_seconds_per_second(), 1),
                    skipped_steps=progress.skipped_steps,
                )
                progress.loss_is_written()
            pause_started_s = time.perf_counter()
            evaluates = evaluation_is_due(step)
            saves = evaluates if config.checkpoint.save_steps is None else step % config.checkpoint.save_steps == 0
            if evaluates:
                require_finite(step)
                evaluations.evaluate("last", step)
            if saves or is_last:
                save()
            display.pause(time.perf_counter() - pause_started_s)
    display.close_bar()
    if ending.is_stopped:
        kept = "a checkpoint is saved" if progress.step else "nothing was trained yet"
        display.say(
            f"stopped after step {progress.step} of {last_step}, as asked by a signal; {kept}. Go on "
            "with the same command and --checkpoint.resume true"
        )
        metrics.close()
        samples.close()
        accelerator.wait_for_everyone()  # a launcher ends the others as soon as one rank has ended
        model, optimizer, job, evaluations = None, None, None, None  # type: ignore[assignment]
        shut_down(accelerator)
        return STOPPED_EXIT_CODE

    # 7. Keep the last model, and publish
    last_model = whole_model(accelerator, model)

    def write_last() -> None:
        left_out = {**progress.filtered, "unreadable": progress.unreadable}
        with failed_writes_explained(output_dir):
            write_json(
                output_dir / "data_summary.json", {**public_values(data.summary), "left_out_in_training": left_out}
            )
            with folder_written_whole(output_dir / "last") as folder:
                modeling.save_model_folder(last_model, processor, folder)

    write_on_main_process(accelerator, output_dir, write_last)
    for reason, count in progress.filtered.items():
        display.say_line(f"left out of the stream: {count:,} ({reason})")
    if progress.unreadable:
        display.say(
            f"could not be used when their turn came: {len(progress.unreadable):,} recordings, see metrics.jsonl"
        )
    metrics.close()
    samples.close()
    model, optimizer, job, evaluations = None, None, None, None  # type: ignore[assignment]  # before the process group, see shut_down
    shut_down(accelerator)
    report = None
    if accelerator.is_main_process:  # no collective comes after it, so that no rank waits
        report = report_finished_run(output_dir, data.validation, say=display.say)
    display.show_summary(progress.scores, output_dir, report=report, has_curves="tensorboard" in tracking.report_to)
    problem = full_context_problem(
        progress.scores["best"], progress.scores.get("baseline"), margin=evaluation.full_context_margin
    )
    if problem is not None:
        display.say(problem)
    if config.data.timestamps_probability == 0:
        display.say(note_on_times())
    if config.hub.push_to_hub and accelerator.is_main_process:
        modeling.require_finite_folder(output_dir / "best")
        revision = config.hub.hub_revision
        display.say(
            push_run(output_dir, hub_model_id=hub_model_id, private=private, revision=revision, say=display.say)
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
