"""`accel-asr plan [--models NAME...] [--dataset NAME] [--json FILE|-] [--page FILE.html] [settings of a run]`."""

import argparse
import json
import time
from pathlib import Path

from accel_asr.commands.evaluate_command import WHOLE_SETS
from accel_asr.config.command_line import parse_config, split_arguments
from accel_asr.config.settings import Config
from accel_asr.console.printing import json_to_print, print_result, say
from accel_asr.errors import UserError, raise_all, user_errors_exit
from accel_asr.files.atomic_writes import to_json, write_errors_explained, write_text
from accel_asr.model.folder.examination import refuse_unfit_folder
from accel_asr.quickstart import model_source

DESCRIPTION = """Should this model be fine-tuned, and how? Scores it as it is on a sample of the validation data, with
and without a prompt of your keywords, beside other models; makes some real steps in each way of training (all weights,
the encoder, adapters, merged padding) on copies; and answers, with the reasons. Takes the settings of a run, trains and
keeps nothing. Exit code 0 when done, 2 for bad input."""
SAMPLE, MINUTES = 100, 5.0
LEAST_SAMPLE, MOST_MINUTES = 2, 10_000


def main(arguments: list[str]) -> int:
    """Plan; bad input ends in one message and exit code 2."""
    with user_errors_exit(same_on_every_rank=True):
        options, settings = split_arguments(arguments, _add_own_options, prog="accel-asr plan", description=DESCRIPTION)
        _check(options)
        config = _settings(options, settings)
        for name in (config.model.name_or_path, *(options.models or ())):
            refuse_unfit_folder(model_source(name), name=name)
    with user_errors_exit():
        return plan(config, options)


def plan(config: Config, options: argparse.Namespace) -> int:
    """Plan as the settings and the command's own options say.

    Raises:
        UserError: as loading a model and reading data raise; or several processes.
    """
    import psutil

    from accel_asr.evaluation.evaluation_sets import DatasetName
    from accel_asr.planning.plan_of_run import plan_of_run, plan_without_training
    from accel_asr.planning.plan_tables import show_plan
    from accel_asr.reporting.plan_page import render_plan
    from accel_asr.training.launch.topology import accelerator_of_run, shut_down

    accelerator = accelerator_of_run(config.training, frozen_dtype=config.model.frozen_dtype)
    if accelerator.num_processes > 1:
        raise UserError(
            "plan works in one process, and this launch has more",
            setting="WORLD_SIZE",
            value=accelerator.num_processes,
            remedy="run accel-asr plan without a launcher",
            same_on_every_rank=True,
        )
    others = [name for name in options.models or () if name != config.model.name_or_path]
    if options.dataset is None:
        record = plan_of_run(
            config,
            models=others,
            sample_size=options.sample,
            budget_s=60 * options.minutes - (time.time() - psutil.Process().create_time()),
            accelerator=accelerator,
            say=say,
        )
    else:
        record = plan_without_training(
            config,
            [DatasetName.parse(options.dataset)],
            models=[str(config.model.name_or_path), *others],
            sample_size=options.sample,
            accelerator=accelerator,
        )
    shut_down(accelerator)
    for option, path, content in (
        ("--page", options.page, lambda: render_plan(record)),
        ("--json", options.json if options.json != "-" else None, lambda: to_json(record, indent=2) + "\n"),
    ):
        if path is not None:
            with write_errors_explained(Path(path), setting=option, remedy="give another file"):
                write_text(Path(path), content())
    if options.json == "-":
        print_result(json_to_print(json.loads(to_json(record)), indent=2))
        return 0
    show_plan(record)
    if options.page is not None:
        say(f"page        {options.page}")
    return 0


def _add_own_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--models", nargs="+", metavar="FOLDER_OR_NAME", help="models to compare with the run's own")
    parser.add_argument(
        "--dataset",
        metavar="NAME[@SPLIT]",
        help="without training data: score the models on this source (as data.name_or_path; split test unless given)",
    )
    parser.add_argument(
        "--sample", type=int, default=SAMPLE, metavar="N", help=f"utterances that are scored (default {SAMPLE})"
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=MINUTES,
        metavar="M",
        help=f"time for all of it; where it is short, steps have fewer utterances or are fewer (default {MINUTES:g})",
    )
    parser.add_argument("--json", metavar="FILE", help="write what was found as JSON; - is standard output")
    parser.add_argument("--page", metavar="FILE.html", help="write a page of it")


def _check(options: argparse.Namespace) -> None:
    errors = []
    if options.sample < LEAST_SAMPLE:
        remedy = f"give at least {LEAST_SAMPLE}"
        errors.append(UserError("is too few", setting="--sample", value=options.sample, remedy=remedy))
    if not 0 < options.minutes <= MOST_MINUTES:
        remedy = f"give minutes above 0, and at most {MOST_MINUTES:,}"
        errors.append(UserError("is out of range", setting="--minutes", value=options.minutes, remedy=remedy))
    raise_all(errors)


def _settings(options: argparse.Namespace, settings: list[str]) -> Config:
    """The run's; with `--dataset`, of a run that needs no training data, whose model may be the first to compare."""
    if options.dataset is None:
        return parse_config(settings)
    own = [f"--{name}={value}" for name, value in WHOLE_SETS.items()]
    own += [f"--data.name_or_path={options.dataset}", "--data.eval_split=test"]
    named = {argument.partition("=")[0] for argument in settings}
    if options.models and not named & {"--config", "--model.name_or_path"}:
        own.append(f"--model.name_or_path={options.models[0]}")
    return parse_config([*own, *settings], trains=False)
