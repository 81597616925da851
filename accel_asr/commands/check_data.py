"""`accel-asr check-data [--model M] [--json FILE|-] [--write_clean FILE.jsonl] [settings of a run]`: is the data fit to
train on?

Reads all that a training run with these settings would read, without torch, and says what would be dropped or refused
and what is worth a look. With --model, that model listens to the training rows, and ranks them by how badly their texts
fit; also under `accelerate launch -m accel_asr check-data ...`.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel_asr.commands.option_types import share
from accel_asr.config.command_line import parse_config, split_arguments
from accel_asr.config.settings import Config
from accel_asr.console.printing import json_to_print, print_result, say
from accel_asr.console.public_text import public_values
from accel_asr.errors import UserError, raise_all, user_errors_exit
from accel_asr.files.atomic_writes import write_errors_explained, write_text
from accel_asr.model.folder.examination import say_notes

if TYPE_CHECKING:
    from accel_asr.data.checking.check import Checked
    from accel_asr.data.selection.utterances import Utterances
    from accel_asr.evaluation.normalizers import Normalizer
    from accel_asr.evaluation.row_scores import Ranking

DESCRIPTION = """Decode every recording and read every text of a run's sources; report what training would drop or
refuse, and duplicates, overlap of validation with training, silence, clipping, and texts that do not fit their
recordings. Takes the settings of a run, trains nothing. With --model, rank the training rows by how badly their texts
fit what that model hears. Exit code 0 if every row would be used, 1 if a row would be
dropped or training refused (other findings do not count), 2 for bad input."""
OPTIONS = (
    ("json", "FILE", "write the report as JSON, to standard output in place of the tables if it is -"),
    ("write_clean", "FILE.jsonl", "write the rows that are kept as a manifest to train on"),
    ("extract_audio", "FOLDER", "with --write_clean: write recordings that are not files to this folder"),
    ("model", "FOLDER_OR_NAME", "listen to the training rows with this model, and rank them"),
    ("page", "FILE.html", "with --model: write a page with players of the worst 50 rows"),
)
SHARES = (
    (
        "worst_share",
        "SHARE",
        "with --model and --write_clean: leave out this share of the rows, the worst; such as 0.05",
    ),
    ("threshold", "SCORE", "with --model and --write_clean: leave out the rows with at least this score, 0 to 1"),
)
OVERWRITE_HELP = "let --json, --write_clean, --extract_audio and --page overwrite files"


def main(arguments: list[str]) -> int:
    """Check; returns 0 when every row would be used, else 1. Bad input ends in one message and exit code 2."""
    with user_errors_exit(same_on_every_rank=True):
        options, settings = _take_own_options(arguments)
        config = _configuration(options, settings)
        _refuse_impossible(options, config)
    with user_errors_exit():
        return check_data(config, options)


def check_data(config: Config, options: argparse.Namespace) -> int:
    """Check the data of `config`, print or write the report, and return the exit code.

    Raises:
        UserError: model or data can't be read, or something can't be written.
    """
    from accel_asr.data.checking.check import check, without_training_rows
    from accel_asr.data.checking.data_report import report_of
    from accel_asr.data.checking.model_limits import load_model_limits
    from accel_asr.data.checking.tables import print_report
    from accel_asr.evaluation.normalizers import load_normalizer

    data = config.data
    limits = load_model_limits(config.model, language_of_rows=data.language_column is not None)
    say_notes(limits.notes, name=config.model.name_or_path)
    normalizer = load_normalizer(config.evaluation.normalizer, limits.encoder.tokenizer)
    checked = check(data, limits, seed=config.training.seed)
    all_rows = checked.train
    references = _references(checked, config, normalizer)
    report: dict[str, Any] = report_of(checked, model_name=config.model.name_or_path, references=references)
    report["clean_manifests"] = []
    ranking = None
    if options.model is not None:
        ranking = _rank(checked, config, options)
        if ranking is None:  # the main process has it
            return 0
        report["rows"] = ranking.to_json()
        checked = without_training_rows(checked, [row.row for row in ranking.left_out])
    try:
        if options.write_clean is not None:
            report["clean_manifests"] = _write_clean(checked, options)
    finally:  # what took long to find is shown in any case
        report = public_values(report)
        if options.json == "-":
            _print_json(report)
        else:
            print_report(report)
            if ranking is not None:
                from accel_asr.evaluation.row_table import show_rows

                show_rows(ranking)
    if options.json not in (None, "-"):
        with write_errors_explained(Path(options.json), setting="--json"):
            write_text(Path(options.json), json.dumps(report, ensure_ascii=False, indent=2, allow_nan=False) + "\n")
        say(f"report     {options.json}")
    if ranking is not None and options.page is not None:
        _write_page(ranking, all_rows, options.page, language=limits.language)
        if options.json != "-":
            say(f"page       {options.page}")
    return int(report["exit_code"])


def _references(checked: "Checked", config: Config, normalizer: "Normalizer") -> dict[str, Any] | None:
    """That section of the report; what training would refuse of them is added to the refusals."""
    from accel_asr.data.selection.references import reference_faults

    if not checked.validation:
        return None
    encoder = checked.limits.encoder
    most = min(config.evaluation.generation_max_length, encoder.room)
    faults = reference_faults(checked.validation, encoder=encoder, normalizer=normalizer, max_new_tokens=most)
    if problem := faults.problem(normalizer_name=config.evaluation.normalizer):
        checked.refusals.append(str(problem))
    return {"normalizer": config.evaluation.normalizer, "max_new_tokens": most, **asdict(faults)}


def _rank(checked: "Checked", config: Config, options: argparse.Namespace) -> "Ranking | None":
    """Rank the training rows, once a clean manifest is known to be possible; None on all but the main process."""
    from accel_asr.data.checking.clean_manifests import refuse_unwritable
    from accel_asr.run.row_ranking import rank_training_rows

    if options.write_clean is not None:
        refuse_unwritable(checked, options.write_clean, extract_to=options.extract_audio, overwrite=options.overwrite)
    return rank_training_rows(config, checked.train, worst_share=options.worst_share, threshold=options.threshold)


def _write_clean(checked: "Checked", options: argparse.Namespace) -> list[dict[str, Any]]:
    """Write the manifests; returns what the report says of each."""
    from accel_asr.data.checking.clean_manifests import write_clean_manifests

    written = write_clean_manifests(
        checked, options.write_clean, extract_to=options.extract_audio, overwrite=options.overwrite
    )
    return [
        {
            "source": manifest.source,
            "path": str(manifest.path),
            "rows": manifest.rows,
            "other_rows": manifest.other_rows,
            "left_out": manifest.left_out,
            "settings": manifest.settings,
        }
        for manifest in written
    ]


def _write_page(ranking: "Ranking", rows: "Utterances", page: Path, *, language: str | None) -> None:
    from accel_asr.reporting.rows_page import write_rows_page
    from accel_asr.reporting.validation_audio import samples_by_id

    with write_errors_explained(page, setting="--page"):
        write_rows_page(ranking, page, samples_of=samples_by_id(rows), language=language)


def _add_own_options(parser: argparse.ArgumentParser) -> None:
    """Add each option in two spellings, with underscores as in settings, and with hyphens."""
    for name, metavar, text in OPTIONS:
        spellings = dict.fromkeys([f"--{name}", f"--{name.replace('_', '-')}"])
        parser.add_argument(*spellings, dest=name, metavar=metavar, help=text)
    for name, metavar, text in SHARES:
        spellings = dict.fromkeys([f"--{name}", f"--{name.replace('_', '-')}"])
        parser.add_argument(*spellings, dest=name, metavar=metavar, type=share, help=text)
    parser.add_argument("--overwrite", action="store_true", help=OVERWRITE_HELP)


def _take_own_options(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """(the command's own options, the settings of the run).

    Raises:
        UserError: an option without its value.
    """
    options, settings = split_arguments(
        arguments, _add_own_options, prog="accel-asr check-data", description=DESCRIPTION
    )
    for name in ("write_clean", "extract_audio", "page"):
        if getattr(options, name) is not None:
            setattr(options, name, Path(getattr(options, name)))
    return options, settings


def _configuration(options: argparse.Namespace, settings: list[str]) -> Config:
    """The settings; with --model, that model's, and those of its run where it is in the folder of one.

    Raises:
        UserError: as `parse_config` raises, or the model is none.
    """
    if options.model is None:
        return parse_config(settings)
    from accel_asr.model.folder.examination import refuse_unfit_folder
    from accel_asr.quickstart import model_source
    from accel_asr.run.model_settings import settings_of_model

    refuse_unfit_folder(model_source(options.model), name=options.model, setting="--model")
    # its padding merged, which is several times as fast, unless the command line says otherwise
    own = [f"--model.name_or_path={options.model}", "--model.revision=null", "--evaluation.audio_context=merged"]
    return parse_config([*settings_of_model(options.model, settings), *own, *settings], trains=False)


def _refuse_impossible(options: argparse.Namespace, config: Config) -> None:
    """Refuse what can't be written in the end, before anything is decoded.

    Raises:
        UserError: naming all of it.
    """
    from accel_asr.data.checking.clean_manifests import require_new

    errors: list[UserError] = []
    if config.data.streaming:
        problem, remedy = "does not go with check-data, which reads every row", "add --data.streaming false"
        errors.append(UserError(problem, setting="--data.streaming", value=True, remedy=remedy))
    if options.write_clean is None and options.extract_audio is not None:
        remedy = "give both, or neither"
        errors.append(UserError("needs --write_clean", setting="--extract_audio", remedy=remedy))
    if options.write_clean is not None and options.write_clean.suffix != ".jsonl":
        problem, value = "does not end with .jsonl", options.write_clean
        errors.append(UserError(problem, setting="--write_clean", value=value, remedy="give a name that does"))
    given = {name: getattr(options, name) for name in ("page", "worst_share", "threshold")}
    for name, value in given.items():
        needed = ["model"] if name == "page" else ["model", "write_clean"]
        lacks = [f"--{other}" for other in needed if getattr(options, other) is None]
        if value is not None and lacks:
            problem = f"needs {' and '.join(lacks)}"
            errors.append(UserError(problem, setting=f"--{name}", value=value, remedy="give both, or neither"))
    if options.worst_share is not None and options.threshold is not None:
        remedy = "give only one of them"
        errors.append(UserError("does not go with --worst_share", setting="--threshold", remedy=remedy))
    several = len(config.data.sources) > 1  # then each manifest has the name of its source, too
    targets = {
        "--write_clean": None if several else options.write_clean,
        "--json": options.json,
        "--page": options.page,
    }
    for option, path in targets.items():
        if path not in (None, "-"):
            try:
                require_new(Path(path), option, overwrite=options.overwrite)
            except UserError as error:
                errors.append(error)
    raise_all(errors)


def _print_json(report: dict[str, Any]) -> None:
    """Print it, unless its reader has gone.

    Raises:
        UserError: standard output can't be written.
    """
    try:
        print_result(json_to_print(report, indent=2))
    except BrokenPipeError:
        return
    except OSError as error:
        problem = f"standard output can't be written ({error.strerror})"
        raise UserError(problem, setting="--json", value="-", remedy="give --json FILE") from error
