"""`accel-asr verify [--verify_utterances N] [any setting of a run]`: is this launch the training that one process does?

Under `accelerate launch ... -m accel_asr verify` with your processes, precision and settings, on your model and data.
Nothing is written.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from accel_asr.config.command_line import parse_config, split_arguments
from accel_asr.config.settings import Config
from accel_asr.console.printing import counted
from accel_asr.errors import UserError, user_errors_exit
from accel_asr.model.folder.examination import refuse_unfit_folder
from accel_asr.quickstart import model_source

if TYPE_CHECKING:
    from accel_asr.data.selection.utterances import Utterances
    from accel_asr.model.whisper_for_training import WhisperForTraining
    from accel_asr.verification.checks import Check

DESCRIPTION = """Compare this launch with one process that takes each global batch at once: loss, gradient, weights,
learning rates, transcripts. Takes the settings of a run, writes nothing. Exit code 0 when all agree, 1 when not."""
TABLE_WIDTH = 120  # also where the output is no terminal, for which rich takes 80


def main(arguments: list[str]) -> int:
    """Compare; returns 0 when every check passes, else 1. Bad input ends in one message and exit code 2."""
    with user_errors_exit(same_on_every_rank=True):
        options, settings = split_arguments(
            arguments, _add_own_options, prog="accel-asr verify", description=DESCRIPTION
        )
        if options.verify_utterances < 2:
            value = options.verify_utterances
            raise UserError("is too few", setting="--verify_utterances", value=value, remedy="give at least 2")
        config = parse_config(settings)
        refuse_unfit_folder(model_source(config.model.name_or_path), name=config.model.name_or_path)
    from accel_asr.training.launch.determinism import deterministic_kernels
    from accel_asr.training.launch.precision import compute_fp32_in_full

    compute_fp32_in_full()
    with deterministic_kernels(config.training.deterministic):
        return verify(config, most_utterances=options.verify_utterances)


def _add_own_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--verify_utterances",
        type=int,
        default=32,
        metavar="N",
        help="compare a global batch of at most so many training utterances, and so many validation utterances "
        "(default 32)",
    )


def verify(config: Config, *, most_utterances: int) -> int:
    """Compare as `config` says. Called on every rank, and returns the same on all.

    Raises:
        UserError: as training would, before it begins; or a loss or gradient is not finite.
    """
    import copy
    from functools import partial

    from accel_asr.run.display import Display
    from accel_asr.run.job import load_job
    from accel_asr.run.micro_batch import settle_batch
    from accel_asr.run.training_plan import plan_schedule, plan_windows
    from accel_asr.training.launch.sharding import is_sharded
    from accel_asr.training.launch.topology import accelerator_of_run, shut_down
    from accel_asr.training.optimizers import optimizer_of_run
    from accel_asr.training.started_step import NonFiniteError
    from accel_asr.verification.checks import tolerances, worst_of_ranks
    from accel_asr.verification.transcripts import compare_evaluation
    from accel_asr.verification.updates import compare_training, plan_to_verify, steps_to_verify

    training = config.training
    if config.data.streaming:
        raise UserError(
            "the windows of a stream depend on the number of processes, so there is nothing to compare",
            setting="--data.streaming",
            value=True,
            remedy="verify on a source that is not streamed",
            same_on_every_rank=True,
        )
    accelerator = accelerator_of_run(training, frozen_dtype=config.model.frozen_dtype)
    if is_sharded(accelerator):
        raise UserError(
            "verify compares whole models, and FSDP shards this one",
            remedy="launch with --multi_gpu on as many processes",
            same_on_every_rank=True,
        )
    display = Display(accelerator)
    uncached = replace(config.model, cache_encoder_outputs=False)  # nothing is written, and nothing is cached
    job = load_job(replace(config, model=uncached), accelerator.device)
    display.say_lines(job.data.notices)

    run_plan, last_step = plan_windows(
        settle_batch(job, config, saved=None, accelerator=accelerator, say=display.say),
        job.data,
        num_processes=accelerator.num_processes,
    )
    plan, notes = plan_to_verify(run_plan, most_utterances=most_utterances)
    schedule = plan_schedule(training, job.model, last_step=last_step, say=display.say)
    steps = steps_to_verify(plan, warmup_steps=schedule.warmup_steps, last_step=last_step)
    validation, batch_size = _utterances_to_score(
        job.data.validation, most_utterances, accelerator.num_processes, job.decoding.batch_size
    )
    notes += _notes(
        num_processes=accelerator.num_processes,
        mixed_precision=accelerator.mixed_precision,
        is_masked=config.spec_augment.enabled,
    )
    processes = counted(plan.num_processes, "process", "processes")
    display.say(
        f"\nthis launch: {processes} x {counted(plan.accumulation_steps, 'accumulation step')} x "
        f"{plan.micro_batch_size} = {plan.window_size} {plan.unit}, "
        f"{'fp32' if accelerator.mixed_precision == 'no' else accelerator.mixed_precision} "
        f"on {accelerator.device.type}\n"
        f"against:     1 process with one batch of {plan.window_size}, fp32\n"
        f"training:    steps {', '.join(map(str, steps))} of {last_step}, with "
        f"{', '.join(str(len(plan.window(step))) for step in steps)} utterances\n"
        f"validation:  {len(validation)} utterances in batches of {batch_size}"
    )
    for note in notes:
        display.say(f"note: {note}")

    model = job.model.to(accelerator.device).eval()  # eval: nothing is drawn at random
    build = partial(optimizer_of_run, training=training, learning_rate=schedule.peak)
    reference = copy.deepcopy(model)
    reference_optimizer = build(reference)
    _change_as_a_run_does(model, config)
    prepared, optimizer = accelerator.prepare(model, build(model))
    _compile_as_a_run_does(model, config)
    try:
        checks = compare_training(
            prepared,
            optimizer,
            reference=reference,
            reference_optimizer=reference_optimizer,
            accelerator=accelerator,
            items=job.train_items,
            plan=plan,
            collator=job.train_collator,
            steps=steps,
            learning_rate_of=schedule.learning_rate,
            label_smoothing=training.label_smoothing_factor,
            allowed=tolerances(accelerator.mixed_precision, training.optim),
        )
    except NonFiniteError as error:
        raise UserError(f"there is nothing to compare: {error}", same_on_every_rank=True) from error
    checks += compare_evaluation(
        model,
        job.validation_items.first(len(validation)),
        replace(job.decoding, batch_size=batch_size, num_workers=0, is_compiled=False),
        accelerator=accelerator,
        collator=job.collator,
    )
    checks = worst_of_ranks(checks)
    if accelerator.is_main_process:
        _show(checks)
    prepared = optimizer = None
    shut_down(accelerator)
    return 0 if all(check.passed for check in checks) else 1


def _change_as_a_run_does(model: "WhisperForTraining", config: Config) -> None:
    from accel_asr.model.frozen_weights import store_frozen_in_bf16
    from accel_asr.model.gradient_checkpointing import checkpoint_layers, train_without_chance

    if config.model.frozen_dtype == "bfloat16":
        store_frozen_in_bf16(model, keeps_originals=False)
    train_without_chance(checkpoint_layers(model, config.training.gradient_checkpointing))


def _compile_as_a_run_does(model: "WhisperForTraining", config: Config) -> None:
    from accel_asr.model.compiled_layers import compile_encoder_layers
    from accel_asr.model.gradient_checkpointing import train_without_chance

    if config.training.compile == "encoder_layers":
        compile_encoder_layers(model, device=model.device)
        train_without_chance(model.get_encoder().layers)


def _notes(*, num_processes: int, mixed_precision: str, is_masked: bool) -> list[str]:
    notes = []
    if num_processes == 1:
        notes.append("one process: its transcripts are compared with those of a second pass of its own")
    if mixed_precision != "no":
        notes.append("half precision is compared loosely; launch with --mixed_precision no for the sharp comparison")
    off = "the model's own SpecAugment" if is_masked else "SpecAugment"  # spec_augment draws by row, and stays on
    return [*notes, f"dropout, layer drop and {off} are off, no gradient is clipped, no encoder output is cached"]


def _utterances_to_score(
    validation: "Utterances", most_utterances: int, num_processes: int, batch_size: int
) -> "tuple[Utterances, int]":
    """The first validation utterances and a batch size, so that each rank has a batch and the last one is short."""
    count = min(most_utterances, len(validation))
    batch_size = max(1, min(batch_size, count // (2 * num_processes)))
    if count > 1 and count % (num_processes * batch_size) == 0:
        count -= 1
    return validation[:count], batch_size


def _show(checks: "Sequence[Check]") -> None:
    """Print the table and the verdict."""
    from rich.table import Table

    from accel_asr.console.printing import table_console

    table = Table(title="the largest difference over all steps and ranks", title_justify="left")
    table.add_column("check")
    for column in ("one process", "this launch", "difference", "allowed"):
        table.add_column(column, justify="right")
    table.add_column("")
    for check in checks:
        verdict = "pass" if check.passed else "FAIL"
        table.add_row(check.name, check.alone, check.launched, f"{check.difference:.2g}", f"{check.allowed:g}", verdict)
    console = table_console(width=TABLE_WIDTH)
    console.print(table)
    failed = [check.name for check in checks if not check.passed]
    console.print(f"FAIL: {', '.join(failed)}" if failed else f"pass: all {len(checks)} checks")
