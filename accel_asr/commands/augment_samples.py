"""`accel-asr augment-samples [--clips N] [--output_dir FOLDER] [settings of a run]`: hear what training would hear."""

import argparse
from dataclasses import replace
from pathlib import Path

from accel_asr.commands.option_types import at_least_one
from accel_asr.config.command_line import parse_config, split_arguments
from accel_asr.config.settings import Config
from accel_asr.console.printing import say, table_console
from accel_asr.errors import UserError, user_errors_exit
from accel_asr.files.atomic_writes import write_errors_explained

DESCRIPTION = """Write training clips before and after their effects, the first clips of the first epoch, as a run with
these settings would hear them; with a page that plays them. Takes the settings of a run, trains nothing. By default to
the folder augmented/. Exit code 0 when done, 2 for bad input."""
OUTPUT_DIR = "augmented"


def main(arguments: list[str]) -> int:
    """Write the clips; bad input ends in one message and exit code 2."""
    with user_errors_exit():
        options, settings = split_arguments(
            arguments, _add_own_options, prog="accel-asr augment-samples", description=DESCRIPTION
        )
        config = parse_config([f"--output_dir={OUTPUT_DIR}", *settings])
        _refuse_impossible(config, overwrite=options.overwrite)
        return augment_samples(config, clips=options.clips)


def augment_samples(config: Config, *, clips: int) -> int:
    """Write the first `clips` of the first epoch, and print which effects each has.

    Raises:
        UserError: model, data or noise can't be read, or the folder can't be written.
    """
    from rich.table import Table

    from accel_asr.audio.augmentation import Augmentation
    from accel_asr.data.checking.model_limits import load_model_limits
    from accel_asr.data.loading.noise_folder import open_noise
    from accel_asr.data.loading.row_seeds import row_seed
    from accel_asr.data.order.epoch_order import shuffled_rows
    from accel_asr.data.splits import load_train_and_validation
    from accel_asr.reporting.augmented_page import AugmentedSample, write_samples

    seed, output_dir = config.training.seed, Path(str(config.output_dir))
    noise = open_noise(config.augment)
    limits = load_model_limits(config.model, language_of_rows=config.data.language_column is not None)
    rate_hz = limits.sampling_rate_hz
    spoken = replace(config.data, no_speech_fraction=0.0, no_speech_dir=None)  # clips without speech have no effects
    data = load_train_and_validation(
        spoken, encoder=limits.encoder, sampling_rate_hz=rate_hz, window_s=limits.window_s, seed=seed
    )
    augmentation = Augmentation(config.augment, rate_hz, noise)
    most = round(limits.window_s * rate_hz)
    rows = shuffled_rows(len(data.train), data.train.part_sizes(), data.weights or (), seed=seed, epoch=0)
    samples = []
    for row in rows[:clips].tolist():
        utterance, of_row = data.train[row], row_seed(seed, 0, row)
        original = utterance.samples()
        heard = augmentation.clip(original, row_seed=of_row, most_samples=most)
        shifted, silence = augmentation.shifted(heard.samples, row_seed=of_row, most_samples=most)
        applied = (*heard.applied, *([f"{silence / rate_hz:.2f} s of silence before it"] if silence else []))
        samples.append(AugmentedSample(utterance.utterance_id, utterance.text, original, shifted, applied))
    with write_errors_explained(output_dir, setting="--output_dir", remedy="give another folder"):
        page = write_samples(samples, output_dir, sampling_rate_hz=rate_hz)
    table = Table()
    for column in ("", "clip", "seconds", "effects"):
        table.add_column(column)
    for number, sample in enumerate(samples, start=1):
        seconds = " -> ".join(f"{len(clip) / rate_hz:.2f}" for clip in (sample.original, sample.augmented))
        table.add_row(f"{number:02}", sample.utterance_id, seconds, "\n".join(sample.applied) or "none")
    table_console().print(table)
    say(f"clips      {page.parent}\nlisten     {page}")
    return 0


def _add_own_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--clips", type=at_least_one, default=10, metavar="N", help="how many clips to write (default 10)"
    )
    parser.add_argument("--overwrite", action="store_true", help="let earlier clips be replaced")


def _refuse_impossible(config: Config, *, overwrite: bool) -> None:
    """Refuse what can't work, before anything is loaded.

    Raises:
        UserError: no effect is on, the data is streamed, or the folder holds something.
    """
    if not config.augment.is_on:
        remedy = "switch one on, such as --augment.speed_prob 1 --augment.room_prob 0.5"
        raise UserError("no effect is on", setting="--augment", remedy=remedy)
    if config.data.streaming:
        problem, remedy = "does not go with augment-samples, which reads an index", "add --data.streaming false"
        raise UserError(problem, setting="--data.streaming", value=True, remedy=remedy)
    from accel_asr.reporting.augmented_page import PAGE_FILE

    output_dir = Path(str(config.output_dir))
    if not output_dir.exists() or (output_dir.is_dir() and not any(output_dir.iterdir())):
        return
    has_samples = (output_dir / PAGE_FILE).is_file() and (output_dir / "01_augmented.wav").is_file()
    if not has_samples:
        problem, remedy = "is there already, and holds something else", "give another folder"
        raise UserError(problem, setting="--output_dir", value=output_dir, remedy=remedy)
    if not overwrite:
        remedy = "give another folder, or add --overwrite"
        raise UserError("already holds clips", setting="--output_dir", value=output_dir, remedy=remedy)
