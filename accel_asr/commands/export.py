"""`accel-asr export --model FOLDER --format FORMAT --output_dir FOLDER [any setting of a run]`: for another runtime.

The exported model transcribes the validation data too, and its WER must be that of our own evaluation.
"""

import argparse
import dataclasses
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from accel_asr.config.command_line import names_data, parse_config
from accel_asr.config.settings import Config
from accel_asr.console.printing import OptionParser, percent, say, table_console
from accel_asr.console.public_text import public, visible
from accel_asr.errors import UserError, raise_all
from accel_asr.exporting.export_formats import FORMATS, QUANTIZATIONS, require_packages
from accel_asr.model.folder.examination import refuse_unfit_folder
from accel_asr.model.folder.generation_settings import is_multilingual
from accel_asr.quickstart import model_source
from accel_asr.run.model_settings import settings_of_model

if TYPE_CHECKING:
    from accel_asr.data.loading.clip_items import ClipItems
    from accel_asr.evaluation.decoding_settings import Decoding
    from accel_asr.exporting.exported_model import ExportedModel
    from accel_asr.exporting.parity import Parity
    from accel_asr.run.job import Job

DESCRIPTION = """Convert a model to CTranslate2 (for faster-whisper), ONNX (for ONNX Runtime) or ggml (for whisper.cpp),
transcribe the validation data with both, and compare. Exit code 0 if the WERs are at most 0.5 points apart, or
--max_wer_difference; else 1, and the folder is named NAME.failed-parity."""
EPILOG = """The data to compare on is the validation data of the model's run (FOLDER/../config.yaml), or comes from
settings of a run: --config RECIPE_OR_YAML, --data.name_or_path, --data.eval_split, --evaluation.normalizer and so on
(python -m accel_asr train --help lists them)."""
QUICKSTART = "quickstart"
FAILED, UNCHECKED = ".failed-parity", ".unchecked"  # suffixes of folders
SHOWN_TRANSCRIPTS = 3
TABLE_WIDTH = 120  # also if the output is no terminal, where rich takes 80


def build_own_parser() -> argparse.ArgumentParser:
    """The command's own options."""
    parser = OptionParser(
        prog="accel-asr export",
        usage="%(prog)s --model FOLDER --format {ctranslate2,onnx,ggml} --output_dir FOLDER [any setting of a run]",
        description=DESCRIPTION,
        epilog=EPILOG,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--model",
        required=True,
        help=f"folder of a model or an adapter, such as runs/quickstart/best, a name on the Hub, or {QUICKSTART}",
    )
    parser.add_argument("--format", required=True, choices=FORMATS)
    parser.add_argument("--output_dir", required=True, type=Path, help="folder to write; must not exist")
    parser.add_argument(
        "--quantization",
        help="of a CTranslate2 model: float32 (default), int8, float16, int8_float16, bfloat16 ...; of ggml: float16",
    )
    parser.add_argument(
        "--max_wer_difference",
        type=float,
        default=0.5,
        metavar="POINTS",
        help="most percentage points that the WERs may be apart (default 0.5); more for a coarse quantization",
    )
    parser.add_argument("--utterances", type=int, metavar="N", help="compare on the first N only (default all)")
    return parser


def main(arguments: list[str]) -> int:
    """Export and compare; returns 0 when both agree, else 1.

    Raises:
        UserError: packages are missing, the folder exists, there is no data to compare on, or as `load_job` raises.
    """
    options, settings = build_own_parser().parse_known_args(arguments)
    _check(options, settings)
    refuse_unfit_folder(model_source(options.model), name=options.model, setting="--model")
    config = run_settings(options.model, settings)
    return export(config, options)


def _check(options: argparse.Namespace, settings: list[str]) -> None:
    """Refuse bad options before anything long starts."""
    errors = []
    if options.output_dir.exists() or options.output_dir.is_symlink():
        remedy = "give another, or remove it"
        errors.append(UserError("exists", setting="--output_dir", value=options.output_dir, remedy=remedy))
    options.quantization = options.quantization or QUANTIZATIONS[options.format][0]
    if options.quantization not in QUANTIZATIONS[options.format]:
        offered = ", ".join(QUANTIZATIONS[options.format])
        problem, value = f"{options.format} has no such quantization", options.quantization
        errors.append(UserError(problem, setting="--quantization", value=value, remedy=f"give one of: {offered}"))
    if options.utterances is not None and options.utterances < 1:
        value = options.utterances
        errors.append(UserError("is too few", setting="--utterances", value=value, remedy="give at least 1"))
    if not 0 <= options.max_wer_difference <= 100:  # nan must not pass
        value, remedy = options.max_wer_difference, "give percentage points from 0 to 100"
        errors.append(UserError("is out of range", setting="--max_wer_difference", value=value, remedy=remedy))
    if any(setting.split("=")[0] == "--model.name_or_path" for setting in settings):
        problem = "the model to export is given by --model"
        errors.append(UserError(problem, setting="--model.name_or_path", remedy="leave it out"))
    raise_all(errors)
    require_packages(options.format)


def run_settings(model: str, settings: list[str]) -> Config:
    """The settings of a run whose validation data is compared on: those given, else of the run that `model` lies in.

    Raises:
        UserError: there is neither; the message says what to give.
    """
    names = {setting.split("=")[0] for setting in settings}
    own = settings_of_model(model, settings)
    if "--config" not in [*names, *own] and not names_data(settings):
        raise UserError(
            "is not in a run's folder (there is no config.yaml beside it), so there is no validation data to compare "
            "the exported model on",
            setting="--model",
            value=model,
            remedy="give --config RECIPE_OR_YAML of a run, or --data.name_or_path with --data.eval_split (or "
            "--data.eval_rows, --data.eval_fraction); --config quickstart compares on the embedded clips",
        )
    config = parse_config([f"--model.name_or_path={model}", *own, *settings], trains=False)
    # the run's own revision belongs to its base model
    revision = config.model.revision if "--model.revision" in names else None
    return dataclasses.replace(config, model=dataclasses.replace(config.model, name_or_path=model, revision=revision))


def export(config: Config, options: argparse.Namespace) -> int:
    """Export the model of `config` and compare; returns the exit code."""
    import torch

    from accel_asr.exporting import export_folder
    from accel_asr.files.atomic_writes import folder_written_whole
    from accel_asr.run.job import load_job

    # greedy in both: beam search differs between runtimes in more than the weights; and no runtime merges padding
    alike = dataclasses.replace(config.evaluation, num_beams=1, audio_context="full")
    job = load_job(dataclasses.replace(config, evaluation=alike))
    export_folder.require_runnable(job.model, job.processor, export_format=options.format)
    for notice in job.data.notices:
        say(visible(notice))
    items = job.validation_items.first(min(options.utterances or len(job.data.validation), len(job.data.validation)))
    if not any(job.decoding.normalizer(utterance.text) for utterance in items.utterances):
        raise UserError(
            "so many have no text to score",
            setting="--utterances",
            value=options.utterances,
            remedy="give a larger number",
        )
    if config.evaluation.num_beams != 1:
        say(f"note: compared greedily, not with evaluation.num_beams {config.evaluation.num_beams}")
    if config.evaluation.audio_context != "full":
        say("note: compared at the whole window, which the exported model hears, not with merged padding")
    for note in export_folder.limit_tokens(job.model, export_format=options.format):
        say(f"note: {note}")
    say(f"exporting {options.model} to {options.format}, {options.quantization}")
    unchecked = options.output_dir.with_name(options.output_dir.name + UNCHECKED)
    with folder_written_whole(unchecked) as folder:
        converted = export_folder.write_converted(
            job.model, job.processor, folder, export_format=options.format, quantization=options.quantization
        )
    if converted.why_not_faster_whisper:
        say(f"note: faster-whisper can't run this model, CTranslate2 can: {converted.why_not_faster_whisper}")
    exported = export_folder.open_converted(
        unchecked, converted, processor=job.processor, threads=torch.get_num_threads()
    )
    decoding = dataclasses.replace(  # not compiled: few are decoded
        job.decoding, max_new_tokens=job.model.generation_config.max_new_tokens, is_compiled=False
    )
    parity = _compare(job, items, exported, decoding, most_points=options.max_wer_difference)
    _show(parity, runtime=exported.runtime)
    record = export_folder.export_record(
        model_name=options.model,
        revision=config.model.revision,
        export_format=options.format,
        quantization=options.quantization,
        runtime=exported.runtime,
        why_not_faster_whisper=converted.why_not_faster_whisper,
        language=decoding.language or _english_only(job),
        data=_name_of_data(config),
        normalizer=config.evaluation.normalizer,
        parity=parity.record(),
    )
    export_folder.write_description(unchecked, record, use=converted.use, processor=job.processor)
    return _conclude(parity, unchecked, options.output_dir)


def _compare(
    job: "Job", items: "ClipItems", exported: "ExportedModel", decoding: "Decoding", *, most_points: float
) -> "Parity":
    from accel_asr.console.bars import progress_bar
    from accel_asr.evaluation.evaluating import evaluate_model
    from accel_asr.exporting.parity import compare_transcripts, score_exported
    from accel_asr.training.launch.precision import compute_fp32_in_full
    from accel_asr.training.launch.topology import start_accelerator

    compute_fp32_in_full()
    accelerator = start_accelerator(mixed_precision="no", gradient_accumulation_steps=1, seed=0)
    total = len(items.utterances)
    with progress_bar(total, desc="transcribe here", unit="utterances") as bar:
        here = evaluate_model(
            job.model.to(accelerator.device),
            items,
            decoding,
            accelerator=accelerator,
            collator=job.collator,
            on_batch=bar.update,
        ).scored
    with progress_bar(total, desc="transcribe there", unit="utterances") as bar:
        there = score_exported(
            exported, items, here, model=job.model, normalizer=decoding.normalizer, on_utterance=bar.update
        )
    return compare_transcripts(here, there, most_points=most_points)


def _show(parity: "Parity", *, runtime: str) -> None:
    """Print the table, and a few of the transcripts that differ."""
    from rich.table import Table

    from accel_asr.evaluation.score_tables import shown

    rates = ("wer", "wer_ortho", "cer")
    table = Table(title=f"{parity.here.utterances} utterances, transcribed here and there", title_justify="left")
    table.add_column("")
    for column in ("WER", "WER ortho", "CER", "cut off"):
        table.add_column(column, justify="right")
    for name, score in (("here: transformers", parity.here), (f"there: {runtime}", parity.there)):
        table.add_row(name, *(percent(getattr(score, rate)) for rate in rates), str(score.cut_off))
    differences = [f"{parity.points(rate):+.2f}" for rate in rates]
    table.add_row("difference in points", *differences, f"{parity.there.cut_off - parity.here.cut_off:+d}")
    table_console(width=TABLE_WIDTH).print(table)
    interval = parity.interval_points()
    if interval is not None:
        low, high = interval
        say(f"WER there - here: {parity.points():+.2f} points, 95% interval {low:+.2f} to {high:+.2f} (paired)")
    say(f"{len(parity.differing)} of {parity.here.utterances} transcripts differ")
    for here, there in parity.differing[:SHOWN_TRANSCRIPTS]:
        say(f"  {shown(here.transcript.utterance_id)}")
        say(f"    here   {shown(here.transcript.hypothesis)}")
        say(f"    there  {shown(there.transcript.hypothesis)}")


def _conclude(parity: "Parity", unchecked: Path, output_dir: Path) -> int:
    """Rename the folder, print the verdict, and return the exit code."""
    if parity.passed:
        unchecked.rename(output_dir)
        say(f"pass: the WERs are {abs(parity.points()):.2f} points apart")
        say(f"model       {output_dir}\nhow to use  {output_dir / 'README.md'}")
        return 0
    failed = output_dir.with_name(output_dir.name + FAILED)
    shutil.rmtree(failed, ignore_errors=True)
    unchecked.rename(failed)
    say(
        f"FAIL: the WERs are {abs(parity.points()):.2f} points apart, and at most {parity.most_points:g} are allowed "
        f"(--max_wer_difference); not exported to {output_dir}, the converted model is in {failed}"
    )
    return 1


def _english_only(job: "Job") -> str | None:
    return None if is_multilingual(job.model.generation_config) else "en"


def _name_of_data(config: Config) -> str:
    data = config.data
    sources = [source.name_or_path for source in data.sources] or [str(data.name_or_path)]
    return public(f"{', '.join(sources)} (validation)")
