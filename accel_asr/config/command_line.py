"""From the command line and YAML to a checked `Config`: defaults < recipe or YAML < command line."""

import argparse
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import jsonargparse
import yaml
from jsonargparse import ArgumentParser

from accel_asr.config.augmentation_settings import AugmentConfig
from accel_asr.config.command_secrets import refuse_secrets
from accel_asr.config.cross_checks import check_config
from accel_asr.config.given_settings import refuse_wrong_values, settings_of_arguments, settings_of_section
from accel_asr.config.guard_settings import GuardConfig
from accel_asr.config.lora_settings import LoraConfig
from accel_asr.config.settings import Config, DataConfig, SourceConfig
from accel_asr.config.settings_files import check_arguments, settings_of_file, with_new_names
from accel_asr.config.training_settings import TrainingConfig
from accel_asr.console.printing import say
from accel_asr.console.public_text import last_part, public_values, remember_secrets, shortened
from accel_asr.errors import UserError, raise_all

RECIPES_DIR = Path(__file__).parents[1] / "recipes"
QUICKSTART_RECIPE = "quickstart"
# a command line with one of them does not mean the quickstart
_NAMES_A_MODEL = re.compile(r"--model(\.name_or_path)?")
_NAMES_DATA = re.compile(r"--data(\.(eval_)?name_or_path|\.sources.*)?")
_LONGEST_RUN_NAME = 60  # letters of each half: a folder's name has at most 255 bytes

DESCRIPTION = """Fine-tune a Whisper model with Hugging Face Accelerate. Without --config, and without a model or data
named here: the embedded quickstart, which needs no network. Else without --config: the defaults below. Every setting
can stand in a YAML file given by --config, and on the command line, which wins. Devices, processes and precision belong
to `accelerate launch`."""


def parse_config(arguments: list[str], *, trains: bool = True) -> Config:
    """Read the configuration of a run.

    `--config` is read first wherever it stands, so that an override given before it still wins. Without it, and where
    neither model nor data is named, it is the quickstart. `--help` and `--print_config` print and exit with code 0;
    the latter prints only what a run would take.

    Args:
        trains: If not, the settings are those of a model that is trained already, and whatever training alone needs
            (peft, an optimizer's package, recordings of noise) need not be here.

    Raises:
        UserError: unknown setting, wrong type, wrong combination, or no such recipe or file.
    """
    refuse_secrets(arguments)
    if {"-h", "--help"} & set(arguments):
        build_parser().parse_args(["--help"])
    recipe, overrides = _take_config_option(arguments)
    prints = [argument for argument in overrides if argument.partition("=")[0] == "--print_config"]
    overrides = [argument for argument in overrides if argument not in prints]
    is_quickstart = not (names_data(overrides) or _names_a_model(overrides))
    config_name = recipe or (QUICKSTART_RECIPE if is_quickstart else None)
    config_path = None if config_name is None else find_config(config_name)
    check_arguments(overrides)
    errors: list[UserError] = []
    content = settings_of_file(config_path) if config_path else {}
    renamed = with_new_names(content)
    settings = list(settings_of_section(renamed, errors)) if config_path else []
    raise_all(error if error.setting else error.but(setting="--config", value=config_path) for error in errors)
    settings += settings_of_arguments(overrides)

    parser = build_parser()
    of_file = str(config_path) if renamed is content else yaml.safe_dump(renamed, allow_unicode=True)
    complete = [*(["--config", of_file] if config_path else []), *overrides]
    try:
        values = vars(parser.instantiate(parser.parse_args(complete)))
    except (jsonargparse.ArgumentError, ValueError, TypeError, OverflowError, RecursionError) as error:
        refuse_wrong_values(settings, parser.parse_object)
        raise UserError(
            f"the settings can't be read together: {shortened(' '.join(str(error).split()), most=500)}",
            setting="--config" if config_path else None,
            value=config_path,
            remedy="see --help",
        ) from error
    values.pop("config", None)
    if recipe in recipe_names() and names_data(overrides):
        values["data"] = _without_licence_of_others(values["data"], recipe=recipe, overrides=overrides)
    if values["output_dir"] is None:
        run_name = config_path.stem if config_path else _run_name(values["model"].name_or_path, values["data"])
        values["output_dir"] = str(Path("runs") / run_name)
    config = Config(**values)
    if not trains:
        config = _of_trained_model(config)
    remember_secrets(config.to_dict())
    check_config(config)
    if prints:
        parser.parse_args([*complete, *prints])
    return config


def _of_trained_model(config: Config) -> Config:
    data = replace(config.data, no_speech_fraction=0.0, no_speech_dir=None, no_speech_gaps=False)
    training = replace(config.training, optim=TrainingConfig().optim)
    return replace(config, data=data, training=training, lora=LoraConfig(), augment=AugmentConfig())


def names_data(arguments: Sequence[str]) -> bool:
    """Whether data is named on the command line, so that it is not a recipe's own that is meant."""
    return any(_NAMES_DATA.fullmatch(argument.partition("=")[0]) for argument in arguments)


def _names_a_model(arguments: Sequence[str]) -> bool:
    return any(_NAMES_A_MODEL.fullmatch(argument.partition("=")[0]) for argument in arguments)


def _without_licence_of_others(data: DataConfig, *, recipe: str, overrides: Sequence[str]) -> DataConfig:
    """A recipe's licence holds for the recordings that the recipe names, or for the path that it leaves to fill in."""
    own = yaml.safe_load(find_config(recipe).read_text(encoding="utf-8")).get("data", {}).get("name_or_path") or "./"
    is_given = any(argument.partition("=")[0] == "--data.license" for argument in overrides)
    if is_given or own.startswith("./") or data.name_or_path == own:
        return data
    return replace(data, license=None)


def _run_name(model: str | None, data: DataConfig) -> str:
    """`whisper-small-calls` of openai/whisper-small and data/calls.csv: the folder of a run without a recipe."""
    sources = [data.name_or_path] if data.name_or_path else [source.name_or_path for source in data.sources or ()]
    names = [model, sources[0] if len(sources) == 1 else "sources" if sources else None]
    stems = [PurePosixPath(last_part(name)).stem for name in names if name]
    parts = [re.sub(r"[^\w.-]+", "_", stem)[:_LONGEST_RUN_NAME].strip("._-") for stem in stems]
    return "-".join(filter(None, parts)) or "unnamed"


def recipe_names() -> list[str]:
    """The packaged recipes, by name, in alphabetical order."""
    return sorted(path.stem for path in RECIPES_DIR.glob("*.yaml"))


def find_config(name: str) -> Path:
    """The YAML behind `--config`: a recipe's name, or the path of a YAML file.

    Raises:
        UserError: it is neither; the message lists the recipes.
    """
    if name in recipe_names():
        return RECIPES_DIR / f"{name}.yaml"
    if os.path.isfile(name):  # Path.is_file raises for a name that is too long
        return Path(name)
    raise UserError(
        "there is no such file, and no recipe of this name",
        setting="--config",
        value=name,
        remedy=f"give the path of a YAML file, or a recipe: {', '.join(recipe_names())}",
    )


def _take_config_option(arguments: list[str]) -> tuple[str | None, list[str]]:
    """Split `arguments` into the value of `--config`, None without, and the rest.

    Raises:
        UserError: `--config` given twice or without a value.
    """
    names, rest, remaining = [], [], iter(arguments)
    for argument in remaining:
        if argument == "--config":
            names.append(next(remaining, ""))
        elif argument.startswith("--config="):
            names.append(argument.removeprefix("--config="))
        else:
            rest.append(argument)
    if len(names) > 1 or names == [""]:
        raise UserError(
            f"is given {len(names)} times ({', '.join(names)})" if len(names) > 1 else "has no value",
            setting="--config",
            remedy=f"give one YAML file or recipe: {', '.join(recipe_names())}",
        )
    return (names[0] if names else None), rest


def build_parser(prog: str = "accel_asr/train.py") -> ArgumentParser:
    """The parser of all settings, with the field docstrings of the sections as help texts."""
    jsonargparse.set_parsing_settings(
        docstring_parse_attribute_docstrings=True,
        # else a name in data.sources, such as `module.Class`, is imported, and so its code run
        import_path_denylist=["*"],
        import_path_allowlist=[f"{kind.__module__}.{kind.__qualname__}" for kind in (SourceConfig, GuardConfig)],
    )
    usage = f"{prog} [OPTION ...] [--config RECIPE_OR_YAML] [--SECTION.SETTING VALUE ...]"  # or all settings, twice
    parser = ArgumentParser(prog=prog, usage=usage, description=DESCRIPTION, exit_on_error=False, allow_abbrev=False)
    parser.add_argument(
        "--config",
        action="config",
        help=f"recipe ({', '.join(recipe_names())}) or YAML file; without it, and without a model or data named, it is "
        f"{QUICKSTART_RECIPE}",
    )
    parser.add_class_arguments(Config, as_group=False)
    return parser


def write_config(config: Config, path: Path) -> None:
    """Write the resolved configuration; feeding it back with `--config` repeats the run.

    The secret part of an address is left out; whoever feeds it back is asked for the address.
    """
    content = public_values(config.to_dict())
    path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")


def split_arguments(
    arguments: Sequence[str],
    add_options: Callable[[argparse.ArgumentParser], None],
    *,
    prog: str,
    description: str,
    usage: str = "[options] [settings]",
) -> tuple[argparse.Namespace, list[str]]:
    """(a console command's own options, the settings of a run). `--help` prints both kinds, and exits with code 0.

    Raises:
        UserError: an option without its value, or with one that does not fit.
    """
    parser = argparse.ArgumentParser(
        prog=prog,
        usage=f"{prog} {usage}",
        description=description,
        add_help=False,
        allow_abbrev=False,
        exit_on_error=False,
    )
    add_options(parser)
    if {"-h", "--help"} & set(arguments):
        # one after the other: in one parser, an option such as `--model` would have two meanings
        settings = build_parser(prog)
        settings.description = "Settings of a run, also from a YAML file by --config:"
        say(parser.format_help())
        of_settings = settings.format_help()[len(settings.format_usage()) :].strip()
        say(of_settings.replace(" \b", ""))  # jsonargparse's way to join `--print_config` and `[=flags]`
        raise SystemExit(0)
    try:
        return parser.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise UserError(error.message, setting=error.argument_name, remedy="see --help") from error
