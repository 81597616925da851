"""Files of settings, read within bounds: no file may hang the start, fill the memory, or set one name twice."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from accel_asr.errors import UserError
from accel_asr.files.regular_files import open_regular

MOST_BYTES = 1 << 20  # a thousand sources take a fifth of it
MOST_NODES = 100_000  # values with every alias written out: a few aliases of aliases are billions
DEEPEST = 20  # settings need four levels
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(path: Path) -> Any:
    """The content of a YAML file, of plain values only.

    Raises:
        ValueError: no regular file, can't be read, too large, too deep, no valid YAML, aliases without end, or a name
            given twice; the message continues a sentence that begins with the file's name.
    """
    try:
        text = _read(path)
        _check_bounds(text)
        return yaml.load(text, Loader=_Loader)
    except _UnfitYAMLError:
        raise
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: not UTF-8, or a number of many digits
        raise _UnfitYAMLError(f"is not a valid YAML file: {' '.join(str(error).split())[:300]}") from error


def settings_of_file(path: Path) -> Any:
    """The content of the file of `--config`.

    Raises:
        UserError: as `read_yaml` raises; or there is nothing in it.
    """
    try:
        content = read_yaml(path)
    except ValueError as error:
        raise UserError(str(error), setting="--config", value=path, remedy="give a YAML file of settings") from error
    if content is None:
        remedy = "write settings into it, such as data: {name_or_path: ...}"
        raise UserError("is empty", setting="--config", value=path, remedy=remedy)
    return content


def with_new_names(content: Any) -> Any:
    """The settings of a file with those renamed or left out that an earlier version wrote into a run's config.yaml."""
    if not isinstance(content, Mapping):
        return content
    model, evaluation = content.get("model"), content.get("evaluation")
    if isinstance(model, Mapping) and isinstance(model.get("freeze_encoder"), bool):
        others = {name: value for name, value in model.items() if name != "freeze_encoder"}
        content = {**content, "model": {"freeze": ["encoder"], **others} if model["freeze_encoder"] else others}
    if isinstance(evaluation, Mapping) and "full_context_margin" in evaluation:
        others = {name: value for name, value in evaluation.items() if name != "full_context_margin"}
        content = {**content, "evaluation": others}
    return content


def check_arguments(arguments: Sequence[str]) -> None:
    """The same for values on the command line, which are YAML too.

    Raises:
        UserError: too deep, or aliases without end. Other faults are left to whatever reads the value.
    """
    for before, argument in zip(["", *arguments], arguments, strict=False):
        if "&" in argument or "[[" in argument or "{{" in argument:
            name, equals, value = argument.partition("=")
            is_assignment = bool(equals) and name.startswith("--")
            try:
                _check_bounds(value if is_assignment else argument)
            except _UnfitYAMLError as error:
                setting = name if is_assignment else before
                raise UserError(str(error), setting=setting, remedy="write the values out") from error
            except yaml.YAMLError:
                pass


class _UnfitYAMLError(ValueError):
    """Valid YAML perhaps, but no file of settings."""


def _read(path: Path) -> str:
    """The text of a regular file of at most MOST_BYTES; never waits, such as for a pipe's other end."""
    try:
        with open_regular(path) as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise _UnfitYAMLError(f"can't be read ({error.strerror})") from error
    if len(content) > MOST_BYTES:
        raise _UnfitYAMLError("is larger than 1 MB, and settings take some kB")
    return content.decode("utf-8-sig")


def _check_bounds(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):  # events need no recursion, and write no alias out
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            raise _UnfitYAMLError(f"has more than {DEEPEST} levels; settings have four")
    root = yaml.compose(text, Loader=_Loader)
    if root is not None:
        _written_out(root, {}, ())


def _written_out(node: yaml.Node, counted: dict[int, int], above: tuple[int, ...]) -> int:
    """How many values a node holds with every alias written out; refuses names that are given twice, too."""
    if id(node) in above:
        raise _UnfitYAMLError(f"has an alias in line {_line(node)} of what it is a part of")
    if id(node) not in counted:
        inside = (*above, id(node))
        parts: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            _check_names(node)
            parts = [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            parts = node.value
        counted[id(node)] = 1 + sum(_written_out(part, counted, inside) for part in parts)
    if counted[id(node)] > MOST_NODES:
        raise _UnfitYAMLError(f"has more than {MOST_NODES:,} values with its aliases written out")
    return counted[id(node)]


def _check_names(section: yaml.MappingNode) -> None:
    lines: dict[str, int] = {}
    for name, _ in section.value:
        if isinstance(name, yaml.ScalarNode) and name.tag != "tag:yaml.org,2002:merge":
            if name.value in lines:
                both = f"in lines {lines[name.value]} and {_line(name)}"
                raise _UnfitYAMLError(f"gives {name.value[:100]!r} twice, {both}; leave out one of them")
            lines[name.value] = _line(name)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
