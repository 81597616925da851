"""From the command line and YAML to a checked `Config`: defaults < recipe or YAML < command line."""

import argparse
import difflib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn, get_args

import jsonargparse
import yaml
from jsonargparse import ArgumentParser

from accel_asr.config.command_secrets import refuse_secrets
from accel_asr.config.cross_checks import check_config
from accel_asr.config.settings import Config, DataConfig, SourceConfig
from accel_asr.config.settings_files import check_arguments, settings_of_file
from accel_asr.console.public_text import last_part, public_values, remember_secrets, shortened
from accel_asr.errors import UserError

RECIPES_DIR = Path(__file__).parents[1] / "recipes"
QUICKSTART_RECIPE = "quickstart"
# whoever names one of them is not after the quickstart
_NAMES_A_MODEL = re.compile(r"--model(\.name_or_path)?")
_NAMES_DATA = re.compile(r"--data(\.(eval_)?name_or_path|\.sources.*)?")
_LONGEST_RUN_NAME = 60  # letters of each half: a folder's name has at most 255 bytes

DESCRIPTION = """Fine-tune a Whisper model with Hugging Face Accelerate. Without --config, and without a model or data
named here: the embedded quickstart, which needs no network. Else without --config: the defaults below. Every setting
can stand in a YAML file given by --config, and on the command line, which wins. Devices, processes and precision belong
to `accelerate launch`."""


def recipe_names() -> list[str]:
    """The packaged recipes, by name, in alphabetical order."""
    return sorted(path.stem for path in RECIPES_DIR.glob("*.yaml"))


def parse_config(arguments: list[str]) -> Config:
    """Read the configuration of a run.

    `--config` is read first wherever it stands, so that an override given before it still wins. Without it, and where
    neither model nor data is named, it is the quickstart. `--help` and `--print_config` print and exit with code 0.

    Raises:
        UserError: unknown setting, wrong type, wrong combination, or no such recipe or file.
    """
    refuse_secrets(arguments)
    given, overrides = _take_config_option(arguments)
    is_quickstart = not (names_data(overrides) or _names_a_model(overrides))
    config_name = given or (QUICKSTART_RECIPE if is_quickstart else None)
    config_path = None if config_name is None else find_config(config_name)
    check_arguments(overrides)
    _refuse_files_as_sections({} if config_path is None else settings_of_file(config_path), overrides)
    parser = build_parser()
    try:
        parsed = parser.parse_args([*(["--config", str(config_path)] if config_name else []), *overrides])
    except (jsonargparse.ArgumentError, ValueError, RecursionError) as error:
        _raise_explained(str(error), parser=parser, config_path=config_path or Path("defaults"))
    try:
        values = vars(parser.instantiate(parsed))
    except TypeError as error:
        raise UserError(_sections_without_settings(parsed)) from error
    values.pop("config", None)
    if given in recipe_names() and names_data(overrides):
        values["data"] = _without_licence_of_others(values["data"], recipe=given, overrides=overrides)
    if values["output_dir"] is None:
        run_name = config_path.stem if config_path else _run_name(values["model"].name_or_path, values["data"])
        values["output_dir"] = str(Path("runs") / run_name)
    config = Config(**values)
    remember_secrets(config.to_dict())
    check_config(config)
    return config


def _refuse_files_as_sections(settings: Any, overrides: Sequence[str]) -> None:
    """jsonargparse would read the file that a section's value names, whatever file it is.

    Raises:
        UserError: a section's value is text.
    """
    names = [field.name for field in fields(Config) if is_dataclass(field.type)]
    given: dict[str, Any] = {name: settings.get(name) for name in names} if isinstance(settings, dict) else {}
    if isinstance(given.get("data"), dict):
        given["data.text"] = given["data"].get("text")
    for argument, following in zip(overrides, [*overrides[1:], ""], strict=False):
        name, equals, value = argument.partition("=")
        if name.startswith("--") and name[2:] in [*names, "data.text"]:
            text = value if equals else following
            given[name[2:]] = None if text.lstrip().startswith("{") else text
    wrong = [
        f"{name}: {shortened(value)!r} is not a section; write its settings below it, or leave it out"
        for name, value in given.items()
        if isinstance(value, str)
    ]
    if wrong:
        raise UserError("\n".join(wrong))


def names_data(arguments: Sequence[str]) -> bool:
    """Whether data is named, so that it is not a recipe's own that is meant."""
    return any(_NAMES_DATA.fullmatch(argument.partition("=")[0]) for argument in arguments)


def _names_a_model(arguments: Sequence[str]) -> bool:
    return any(_NAMES_A_MODEL.fullmatch(argument.partition("=")[0]) for argument in arguments)


def _without_licence_of_others(data: DataConfig, *, recipe: str, overrides: Sequence[str]) -> DataConfig:
    """A recipe's licence is one of the recordings that it names, where it names some and leaves no path to fill in."""
    own = yaml.safe_load(find_config(recipe).read_text(encoding="utf-8")).get("data", {}).get("name_or_path") or "./"
    is_path_to_fill_in = own.startswith("./")
    says_it = any(argument.partition("=")[0] == "--data.license" for argument in overrides)
    if says_it or is_path_to_fill_in or data.name_or_path == own:
        return data
    return replace(data, license=None)


def _run_name(model: str | None, data: DataConfig) -> str:
    """`whisper-small-calls` of openai/whisper-small and data/calls.csv: the folder of a run without a recipe."""
    sources = [data.name_or_path] if data.name_or_path else [source.name_or_path for source in data.sources or ()]
    names = [model, sources[0] if len(sources) == 1 else "sources" if sources else None]
    lasts = [PurePosixPath(last_part(name)).stem for name in names if name]
    parts = [re.sub(r"[^\w.-]+", "_", last)[:_LONGEST_RUN_NAME].strip("._-") for last in lasts]
    return "-".join(filter(None, parts)) or "unnamed"


def find_config(name: str) -> Path:
    """The YAML behind `--config`: a recipe's name, or the path of a YAML file.

    Raises:
        UserError: it is neither; the message lists the recipes.
    """
    recipe = RECIPES_DIR / f"{name}.yaml"
    if name in recipe_names():
        return recipe
    if os.path.isfile(name):  # Path.is_file raises for a name that is too long
        return Path(name)
    raise UserError(
        f"--config: {shortened(name)!r} is neither a recipe nor a YAML file; the recipes are: "
        f"{', '.join(recipe_names())}"
    )


def build_parser(prog: str = "accel_asr/train.py") -> ArgumentParser:
    """The parser of all settings, with the field docstrings of `accel_asr.config.settings` as help texts."""
    jsonargparse.set_parsing_settings(
        docstring_parse_attribute_docstrings=True,
        # else a name in data.sources, such as `module.Class`, is imported, and so its code run
        import_path_denylist=["*"],
        import_path_allowlist=[f"{SourceConfig.__module__}.{SourceConfig.__qualname__}"],
    )
    parser = ArgumentParser(prog=prog, description=DESCRIPTION, exit_on_error=False, allow_abbrev=False)
    parser.add_argument(
        "--config",
        action="config",
        help=f"recipe ({', '.join(recipe_names())}) or YAML file; without it, and without a model or data named, it is "
        f"{QUICKSTART_RECIPE}",
    )
    parser.add_class_arguments(Config, as_group=False)
    return parser


def setting_names() -> list[str]:
    """Every setting by its dotted name, such as `training.learning_rate`."""
    defaults = build_parser().get_defaults()
    return [name for name in defaults.keys() if name != "config"]  # noqa: SIM118 - a Namespace iterates otherwise


def write_config(config: Config, path: Path) -> None:
    """Write the resolved configuration; feeding it back with `--config` repeats the run.

    The secret part of an address is left out; who feeds it back is asked for the address.
    """
    content = public_values(config.to_dict())
    path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")


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
    if len(names) > 1:
        raise UserError(f"--config: given {len(names)} times ({', '.join(names)}); give one recipe or YAML file")
    if names == [""]:
        raise UserError(f"--config: needs a recipe ({', '.join(recipe_names())}) or a YAML file after it")
    return (names[0] if names else None), rest


def _raise_explained(message: str, *, parser: ArgumentParser, config_path: Path) -> NoReturn:
    """Say in one line what jsonargparse says in many: the setting, the value, the remedy."""
    if 'Parser key "data.sources"' in message:
        raise UserError(f"data.sources: {_explained_source(message)}")
    unknown = (
        re.search(r"Group '(?P<group>[\w.]+)' does not accept option '(?P<name>[\w.]+)'", message)
        or re.search(r"Option '(?P<name>[\w.]+)' is not accepted", message)
        or re.search(r"unrecognized arguments: --(?P<name>[\w.-]+)", message)
    )
    if unknown:
        group = unknown.groupdict().get("group")
        name = f"{group}.{unknown['name']}" if group else unknown["name"]
        raise UserError(f"{name}: there is no such setting; {_nearest_settings(name)}")
    wrong = re.search(r'Parser key "(?P<name>[\w.]+)"', message)
    value = re.search(r"(?:Got value|Given value): (?P<value>.*)", message)
    if wrong and value:
        name, expected = wrong["name"], _expected_type(wrong["name"], parser)
        quoting = '; write "no" in quotes, YAML reads a bare no as false' if value["value"] == "False" else ""
        raise UserError(f"{name}: {shortened(value['value'])!r} does not fit; give {expected}{quoting}")
    if wrong and "digits" in message:
        raise UserError(f"{wrong['name']}: a number of so many digits does not fit; give a smaller one")
    said = shortened(" ".join(message.split()), most=500)
    if any(sign in message for sign in ("Problems parsing config", "Unexpected config", "parse", "codec")):
        raise UserError(f"--config: {config_path} is not a valid YAML file of settings: {said}")
    raise UserError(f"{said}; see --help")


def _explained_source(message: str) -> str:
    """What is wrong inside of the list of sources, which --help shows as one setting."""
    types = {setting.name: _shown_type(setting.type) for setting in fields(SourceConfig)}
    unknown = re.search(r"Option '(?P<name>[^']+)' is not accepted", message)
    if unknown:
        near = difflib.get_close_matches(unknown["name"], types, n=1) or [", ".join(types)]
        return f"a source has no setting {unknown['name']!r}; did you mean {near[0]}?"
    wrong = re.search(r'Parser key "(?P<name>\w+)"', message)
    value = re.search(r"(?:Got value|Given value): (?P<value>.*)", message)
    if wrong and value and wrong["name"] in types:
        return f"{wrong['name']} {shortened(value['value'])!r} of a source does not fit; give {types[wrong['name']]}"
    given = f"{shortened(value['value'])!r} is no list of sections" if value else "something in the list is no section"
    return f"{given}; write [{{name_or_path: ...}}, {{name_or_path: ...}}]"


def _shown_type(of_setting: Any) -> str:
    """`a text` of `str | None`, `'a' or 'b'` of a `Literal`."""
    kinds = [kind for kind in get_args(of_setting) or (of_setting,) if kind is not type(None)]
    choices = " or ".join(repr(value) for kind in kinds for value in get_args(kind))
    return choices or _in_words(kinds[0].__name__)


def _sections_without_settings(parsed: jsonargparse.Namespace) -> str:
    """For `training:` with nothing, or a plain value, below it."""
    wrong = [
        f"{section.name}: {parsed[section.name]!r} is not a section; write its settings below it, or leave it out"
        for section in fields(Config)
        if is_dataclass(section.type) and not isinstance(parsed[section.name], jsonargparse.Namespace)
    ]
    return "\n".join(wrong)


def _nearest_settings(name: str) -> str:
    known = setting_names()
    leaf = name.rsplit(".", 1)[-1]
    near = [candidate for candidate in known if candidate.rsplit(".", 1)[-1] == leaf]
    near = near or difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    if near:
        return "did you mean " + " or ".join(near) + "?"
    return "--help lists all of them"


def _expected_type(name: str, parser: ArgumentParser) -> str:
    """What a setting takes, such as `a number, or null`."""
    for line in re.split(r"\n(?=  --)", parser.format_help()):
        if re.match(rf"\s+--{re.escape(name)}\s", line):
            shown = re.search(r"\(type: (.*?), default", " ".join(line.split()))
            if shown:
                return _in_words(shown[1])
    return "a value of the right type (see --help)"


_WORDS_OF_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "null": "null",
    "dict[str, str]": 'a table of texts in quotes, such as {"this": "that"}',
    "list[str]": "a list in brackets, such as [one, two]",
}


def _in_words(shown: str) -> str:
    """A type of `--help` in words: `a number, or null` of `float | null`, the choices of a list or of a `Literal`."""
    if set(kinds := shown.split(" | ")) <= _WORDS_OF_TYPES.keys():
        return ", or ".join(_WORDS_OF_TYPES[kind] for kind in kinds if kind != "int" or "float" not in kinds)
    choices = re.fullmatch(r"list\[Literal\[(.*)\]\]", shown)
    if choices:
        first = [choice.strip("' ") for choice in choices[1].split(",")][:2]
        return f"a list in brackets, such as [{', '.join(first)}], of {choices[1]}"
    if literal := re.fullmatch(r"(Optional\[)?Literal\[(.*?)\]+", shown):
        return " or ".join(literal[2].split(", ")) + (", or null" if literal[1] else "")
    return shown


def split_arguments(
    arguments: Sequence[str], add_options: Callable[[argparse.ArgumentParser], None]
) -> tuple[argparse.Namespace, list[str]]:
    """(a console command's own options, the settings of a run).

    Raises:
        UserError: an option without its value, or with one that does not fit.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    add_options(parser)
    try:
        return parser.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise UserError(f"{error.argument_name}: {error.message}; see --help") from error
