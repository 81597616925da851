"""The settings that a user gives, looked at one by one: each wrong name or value gets a message that says what fits.

jsonargparse reads them; its errors are texts of several lines, so none of them is shown.
"""

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import yaml

from accel_asr.config.guard_settings import GuardConfig
from accel_asr.config.settings import Config, SourceConfig, settings_of
from accel_asr.errors import UserError, raise_all

SETTINGS = {name: field.type for name, field in settings_of(Config)}
_GONE = {
    "model.freeze_encoder": "it is --model.freeze [encoder] now",
    "evaluation.full_context_margin": "leave it out",
}
_VALUES_GONE = {("training.audio_context", "speech"): "give merged, which hears the whole window at half of its cost"}
SECTIONS = {name.rpartition(".")[0] for name in SETTINGS} - {""}
# settings that are lists of sections: of what kind, and what one is called
_LISTS: dict[str, tuple[type, str]] = {
    "data.sources": (SourceConfig, "source"),
    "evaluation.guards": (GuardConfig, "guard"),
}
_SECTIONS_IN_WORDS = "a list of sections, such as [{name_or_path: ...}, {name_or_path: ...}]"
_IN_WORDS = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    NoneType: "null",
    dict[str, str]: 'a table of texts in quotes, such as {"this": "that"}',
    dict[str, float]: "a table of numbers, such as {this: 0.1}",
    dict[str, int | float | str]: "a table, such as {num_cycles: 2}",
    list[str]: "a list in brackets, such as [one, two]",
    list[str | dict[str, int]]: "a list in brackets, such as [encoder] or [encoder_layers: 2, embeddings]",
    list[SourceConfig]: _SECTIONS_IN_WORDS,
    list[GuardConfig]: _SECTIONS_IN_WORDS,
}


def settings_of_arguments(arguments: Sequence[str]) -> list[tuple[str, Any]]:
    """(dotted name, value) of each setting on a command line.

    Raises:
        UserError: unknown names, names without a value, values without a name; all of them at once.
    """
    settings: list[tuple[str, Any]] = []
    errors: list[UserError] = []
    remaining = list(arguments)
    while remaining:
        option, equals, value = remaining.pop(0).partition("=")
        name = option.removeprefix("--").removesuffix("+")
        has_value = bool(equals) or bool(remaining and not remaining[0].startswith("--"))
        if not option.startswith("--"):
            errors.append(UserError("belongs to no setting", value=option, remedy="write --SETTING VALUE; see --help"))
            continue
        if has_value and not equals:
            value = remaining.pop(0)
        if option.endswith("+") and not value.startswith("["):  # one more entry of a list
            value = f"[{value}]"
        if name in SECTIONS:
            section: Any = None
            with suppress(yaml.YAMLError):
                section = yaml.safe_load(value)
            settings += settings_of_section(section if isinstance(section, Mapping) else value, errors, name=name)
        elif error := _unknown(name):
            errors.append(error)
        elif not has_value:
            errors.append(UserError("has no value", setting=option, remedy=f"give {in_words(SETTINGS[name])}"))
        else:
            settings.append((name, value))
    raise_all(errors)
    return settings


def settings_of_section(content: Any, errors: list[UserError], *, name: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, value) of each setting in a section of a YAML file, or in the whole file; adds to `errors`."""
    if not isinstance(content, Mapping):
        value = "null" if content is None else content
        remedy = "write its settings below it, or leave it out"
        errors.append(UserError("is not a section", setting=f"--{name}" if name else None, value=value, remedy=remedy))
        return
    for key, value in content.items():
        inner = f"{name}.{key}" if name else str(key)
        if inner in SECTIONS or (value and isinstance(value, Mapping) and inner not in SETTINGS):
            yield from settings_of_section(value, errors, name=inner)
        elif error := _unknown(inner):
            errors.append(error)
        else:
            yield inner, value


def refuse_wrong_values(settings: Sequence[tuple[str, Any]], reads: Callable[[Mapping[str, Any]], object]) -> None:
    """Find what does not fit among settings that can't be read together, by reading each alone.

    Args:
        reads: Raises where it can't read a nested mapping of settings.

    Raises:
        UserError: naming every setting whose value does not fit.
    """

    def fits(name: str, value: Any) -> bool:
        for part in reversed(name.split(".")):
            value = {part: value}
        try:
            reads(value)
        except Exception:  # of jsonargparse or YAML
            return False
        return True

    errors: list[UserError] = []
    for name, value in settings:
        if fits(name, value):
            continue
        if name in _LISTS:
            in_sections = [*_section_errors(name, value, fits)]
            errors += in_sections
            if in_sections:
                continue
        if remedy := _VALUES_GONE.get((name, str(value)), ""):
            errors.append(UserError("there is no such value any more", setting=f"--{name}", value=value, remedy=remedy))
            continue
        quotes = '; write "no" in quotes, YAML reads a bare no as false' if value is False else ""
        remedy = f"give {in_words(SETTINGS.get(name, str))}{quotes}"
        errors.append(UserError("does not fit", setting=f"--{name}", value=value, remedy=remedy))
    raise_all(errors)


def _sections_of(value: Any) -> list[Mapping[Any, Any]]:
    """The sections in a value of a list of them; none where it is something else."""
    if isinstance(value, str):
        with suppress(yaml.YAMLError):
            value = yaml.safe_load(value)
    sections = value if isinstance(value, list) else [value]
    return sections if all(isinstance(section, Mapping) for section in sections) else []


def _section_errors(setting: str, value: Any, fits: Callable[[str, Any], bool]) -> Iterator[UserError]:
    kind, noun = _LISTS[setting]
    types = {known.name: known.type for known in fields(kind)}
    for number, section in enumerate(_sections_of(value), start=1):
        for name, inner in section.items():
            place = f"--{setting}: {name} of {noun} {number}"
            if name not in types:
                near = difflib.get_close_matches(str(name), types, n=1)
                remedy = f"did you mean {near[0]}?" if near else f"a {noun} has {', '.join(types)}"
                yield UserError("there is no such setting", setting=place, remedy=remedy)
            elif not fits(setting, [{name: inner}]):
                yield UserError("does not fit", setting=place, value=inner, remedy=f"give {in_words(types[name])}")


def _unknown(name: str) -> UserError | None:
    if name in SETTINGS or name.rpartition(".")[0] in SETTINGS:  # the second: an entry of a table
        return None
    if name in _GONE:
        return UserError("there is no such setting any more", setting=f"--{name}", remedy=_GONE[name])
    last = name.rpartition(".")[2]
    near = [known for known in SETTINGS if known.rpartition(".")[2] == last]
    near = near or difflib.get_close_matches(name, SETTINGS, n=1)
    remedy = f"did you mean {' or '.join(f'--{known}' for known in near)}?" if near else "--help lists all of them"
    return UserError("there is no such setting", setting=f"--{name}", remedy=remedy)


def in_words(kind: Any) -> str:
    """A setting's type for people: `a number, or null` of `float | None`, the choices of a `Literal`."""
    if kind in _IN_WORDS:
        return _IN_WORDS[kind]
    parts = get_args(kind)
    if get_origin(kind) is Literal:
        return " or ".join(map(repr, parts))
    if get_origin(kind) is list:
        return f"a list in brackets, such as [{', '.join(get_args(parts[0])[:2])}], of {in_words(parts[0])}"
    return ", or ".join(in_words(part) for part in parts if part is not int or float not in parts)
