"""`accel-asr evaluate --model FOLDER_OR_NAME [--against OTHER] [--dataset NAME[@SPLIT]]... [settings of a run]`.

Also under `accelerate launch -m accel_asr evaluate ...`, on as many devices as there are.
"""

import argparse
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel_asr.commands.option_types import decibels
from accel_asr.config.command_line import parse_config, split_arguments
from accel_asr.config.settings import Config
from accel_asr.console.public_text import public
from accel_asr.errors import UserError, raise_all, setting_shown_as, user_errors_exit
from accel_asr.files.run_folder import full_disk_explained
from accel_asr.model.folder.examination import refuse_unfit_folder
from accel_asr.quickstart import QUICKSTART, model_source
from accel_asr.run.evaluation_output import SCORES_FILE, require_free, require_place, write_scores
from accel_asr.run.model_settings import settings_of_model

if TYPE_CHECKING:
    from accel_asr.evaluation.evaluation_sets import EvaluationSet
    from accel_asr.evaluation.no_speech import NoSpeechResult
    from accel_asr.evaluation.set_results import SetResult
    from accel_asr.run.loaded_model import LoadedModel

DESCRIPTION = """Score a model: word and character error rates with 95% intervals, by duration and by any column,
confusions, hallucinations. On the sources that --dataset names, or else on the validation data of the settings; for a
model in a run's folder, the run's own settings are the defaults. Writes the transcripts and scores.json to
--output_dir, by default evaluations/ and the model's name. Exit code 0 when done, 2 for bad input."""
LONGEST_LABEL = 60  # letters: a folder's name has at most 255 bytes
# settings that would split the rows of a --dataset, switched off
WHOLE_SETS = {
    "data.sources": "[]",
    "data.train_rows": "null",
    "data.eval_fraction": "null",
    "data.eval_rows": "null",
    "data.eval_name_or_path": "null",
    "data.group_column": "null",
    "data.streaming": "false",
}


def main(arguments: list[str]) -> int:
    """Evaluate; bad input ends in one message and exit code 2."""
    if any(argument.partition("=")[0] == "--rescore" for argument in arguments):
        from accel_asr.run import rescoring

        return rescoring.main(arguments)
    with user_errors_exit(same_on_every_rank=True):
        config, options = read_arguments(arguments)
    with user_errors_exit(), full_disk_explained(Path(str(config.output_dir))):
        return evaluate(config, options)


def read_arguments(arguments: list[str]) -> tuple[Config, argparse.Namespace]:
    """(settings, the command's own options) for `evaluate`, checked before anything is loaded.

    Raises:
        UserError: bad input, or scores that would be overwritten.
    """
    options, settings = _take_own_options(arguments)
    for option, model in (("--model", options.model), ("--against", options.against)):
        if model is not None:
            refuse_unfit_folder(model_source(model), name=model, setting=option)
    config = _configuration(options, settings)
    require_place(Path(str(config.output_dir)), overwrite=options.overwrite)
    return config, options


def evaluate(config: Config, options: argparse.Namespace) -> int:
    """Evaluate as `config` and the command's own options say. Called on every rank.

    Raises:
        UserError: as loading a model and reading data raise.
    """
    from accel_asr.data.loading.noise_folder import NoiseFolder
    from accel_asr.data.loading.worker_count import num_workers_of_rank
    from accel_asr.evaluation.evaluation_sets import DatasetName
    from accel_asr.run.display import Display
    from accel_asr.run.evaluation_job import (
        drop_unfit_long_rows,
        keep_common,
        load_model_and_sets,
        score_clips_without_speech,
        score_sets,
    )
    from accel_asr.training.launch.environment import describe_environment
    from accel_asr.training.launch.topology import shut_down, start_accelerator

    accelerator = start_accelerator(
        mixed_precision=config.training.mixed_precision,
        gradient_accumulation_steps=1,
        seed=config.training.seed,
        timeout_s=config.training.ddp_timeout,
    )
    display = Display(accelerator)
    noise = None
    if options.noise_dir is not None:
        noise = NoiseFolder.open(options.noise_dir, setting="--noise_dir")
        display.say_line(noise.notice())
    datasets = [DatasetName.parse(given) for given in options.dataset or ()]
    names = [options.model] if options.against is None else [options.model, options.against]
    models: dict[str, LoadedModel] = {}
    sets: dict[str, list[EvaluationSet]] = {}
    output_dir = Path(str(config.output_dir))
    for name, option in zip(names, ("--model", "--against"), strict=False):
        with setting_shown_as(option, setting="--model.name_or_path"):
            models[name], sets[name], notices = load_model_and_sets(
                replace(config.model, name_or_path=name),
                config.evaluation,
                config.data,
                datasets,
                seed=config.training.seed,
                num_workers=num_workers_of_rank(config.training.dataloader_num_workers, device=accelerator.device),
                device=accelerator.device,
                most_utterances=options.utterances,
                keep_long=True,
            )
            notices += drop_unfit_long_rows(models[name], sets[name], accelerator=accelerator)
        if noise is not None:
            sets[name] += [scored.with_noise(noise, snr_db) for snr_db in options.snr for scored in sets[name]]
        if name == names[0]:
            for notice in notices:
                display.say_line(notice)
            sources = [dataset.name_or_path for dataset in datasets] or [scored.source for scored in sets[name]]
            require_free(
                output_dir,
                [scored.name for scored in sets[name]],
                sources=sources,
                overwrite=options.overwrite,
                has_other=len(names) > 1,
            )
    if len(names) > 1:
        for notice in keep_common(sets[names[0]], sets[names[1]]):
            display.say_line(notice)
    results: dict[str, list[SetResult]] = {}
    no_speech: dict[str, NoSpeechResult] = {}
    for name in names:
        results[name] = score_sets(
            models[name], sets[name], accelerator=accelerator, features_on_device=config.data.features_on_device
        )
        if not options.no_silence:
            no_speech[name] = score_clips_without_speech(
                models[name],
                sets[name],
                accelerator=accelerator,
                features_on_device=config.data.features_on_device,
            )
        models[name].model.to("cpu")
    environment = describe_environment(accelerator)
    is_main = accelerator.is_main_process
    decoding = {name: _decoding(models[name], config) for name in names}
    models.clear()
    shut_down(accelerator)
    if not is_main:
        return 0

    # written before it is shown: a terminal that has gone costs no scores
    write_scores(output_dir, {"environment": environment}, results, no_speech, decoding)
    _show(results, no_speech)
    display.say(f"scores      {output_dir / SCORES_FILE}\ntranscripts {output_dir / '*.jsonl'}")
    return 0


def _show(results: "dict[str, list[SetResult]]", no_speech: "dict[str, NoSpeechResult]") -> None:
    """Tables of the first model, and of its differences from the second, if there is one."""
    from accel_asr.evaluation.comparing import compare
    from accel_asr.evaluation.score_tables import (
        score_console,
        show_comparison,
        show_details,
        show_no_speech,
        show_sets,
    )

    console = score_console()
    show_sets(console, results)
    model, *others = results
    for result in results[model]:
        show_details(console, result)
    if no_speech:
        show_no_speech(console, {name: result.record() for name, result in no_speech.items()})
    for other in others:
        for own, against in zip(results[model], results[other], strict=True):
            comparison = compare(against.scored, own.scored)
            show_comparison(console, comparison, name=own.evaluated.name, model=model, other=other)


def _decoding(loaded: "LoadedModel", config: Config) -> dict[str, Any]:
    """How the transcripts were decoded."""
    decoding = loaded.decoding
    return {
        "language": decoding.language,
        "task": decoding.task,
        "num_beams": decoding.num_beams,
        "max_new_tokens": decoding.max_new_tokens,
        "compiled": decoding.is_compiled,
        **({"audio_context": "merged"} if loaded.collator.merging is not None else {}),
        "normalizer": config.evaluation.normalizer,
        "model_commit": getattr(loaded.model.config, "_commit_hash", None),
    }


def _configuration(options: argparse.Namespace, settings: list[str]) -> Config:
    """The settings: defaults, or those of the run whose folder the model is in; then the command line.

    Raises:
        UserError: as `parse_config` raises; or nothing says what to evaluate on.
    """
    names = [name.rpartition("@")[0] or name for name in options.dataset or ()]
    has_own_data = bool(names) and QUICKSTART not in names
    own = [f"--output_dir={Path('evaluations') / label_of(options.model)}", "--model.revision=null"]
    own += [f"--model.name_or_path={options.model}"]
    if options.by:
        own.append(f"--data.breakdown_columns={list(dict.fromkeys(options.by))}")
    if options.dataset:
        own += [f"--{name}={value}" for name, value in WHOLE_SETS.items()]
        own += [f"--data.name_or_path={options.dataset[0]}", "--data.eval_split=test"]
    of_model = settings_of_model(options.model, settings, has_own_data=has_own_data)
    return parse_config([*of_model, *own, *settings], trains=False)


def label_of(model: str) -> str:
    """A folder's name for a model: `quickstart-best` of runs/quickstart/best, `openai-whisper-tiny` of the Hub's."""
    path = Path(model)
    parts = path.resolve().parts[-2:] if path.exists() else path.parts
    label = "-".join(part for part in parts if part not in ("/", "..", "."))
    return re.sub(r"[^\w.-]+", "_", public(label))[-LONGEST_LABEL:] or "model"


def _add_own_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", metavar="FOLDER_OR_NAME", help="folder of a model or an adapter, Hub name, or quickstart"
    )
    parser.add_argument(
        "--against", metavar="FOLDER_OR_NAME", help="another model, compared on the same rows with paired intervals"
    )
    parser.add_argument(
        "--dataset",
        action="append",
        metavar="NAME[@SPLIT]",
        help="score all rows of this source (as data.name_or_path; split test unless given); may be repeated",
    )
    parser.add_argument(
        "--by",
        action="append",
        metavar="COLUMN",
        help="break the scores down by this column, or two crossed, as language+gender; repeatable",
    )
    parser.add_argument(
        "--noise_dir",
        type=Path,
        metavar="FOLDER",
        help="score each set once more for each --snr, with noise from the recordings in this folder",
    )
    parser.add_argument(
        "--snr",
        type=decibels,
        nargs="+",
        metavar="DB",
        help="how far the noise is below the speech, measured where there is speech: 10 is 10 dB",
    )
    parser.add_argument("--utterances", type=int, metavar="N", help="score only the first N of each set")
    parser.add_argument(
        "--no_silence", action="store_true", help="skip the test of what the model writes for clips without speech"
    )
    parser.add_argument(
        "--rescore",
        nargs="+",
        metavar="FILE",
        help="score stored transcripts by another --normalizer and decode nothing; --rescore --help says more",
    )
    parser.add_argument("--overwrite", action="store_true", help="let the scores of an earlier evaluation be replaced")


def _take_own_options(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """(the command's own options, the settings of a run).

    Raises:
        UserError: an option without its value, or no model.
    """
    options, settings = split_arguments(
        arguments,
        _add_own_options,
        prog="accel-asr evaluate",
        description=DESCRIPTION,
        usage="--model NAME [options] [settings]",
    )
    errors = []
    if options.model is None:
        remedy = "give a model folder, such as runs/quickstart/best, or a name on the Hub"
        errors.append(UserError("is not set", setting="--model", remedy=remedy))
    elif options.against == options.model:
        problem = "is what --model names too"
        errors.append(UserError(problem, setting="--against", value=options.against, remedy="give another model"))
    if options.utterances is not None and options.utterances < 1:
        value = options.utterances
        errors.append(UserError("is out of range", setting="--utterances", value=value, remedy="give at least 1"))
    if options.noise_dir is not None and options.snr is None:
        errors.append(UserError("is not set, and --noise_dir needs it", setting="--snr", remedy="give --snr 5 10"))
    if options.snr is not None and options.noise_dir is None:
        remedy = "give a folder of recordings of noise"
        errors.append(UserError("is not set, and --snr needs it", setting="--noise_dir", remedy=remedy))
    if len(set(options.snr or ())) < len(options.snr or ()):
        errors.append(UserError("has a level twice", setting="--snr", value=options.snr, remedy="give each once"))
    raise_all(errors)
    return options, settings
