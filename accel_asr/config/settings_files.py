"""Files of settings, read within bounds: no file may hang the start, fill the memory, or say one thing twice."""

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from accel_asr.errors import UserError

MOST_BYTES = 1 << 20  # a thousand sources take a fifth of it
MOST_NODES = 100_000  # values with every alias written out: a few aliases of aliases are billions
DEEPEST = 20  # settings need four levels
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NOT_YAML = "is not a valid YAML file of settings"


def read_yaml(path: Path) -> Any:
    """The content of a YAML file, of plain values only.

    Raises:
        ValueError: no regular file, can't be read, too large, too deep, no valid YAML, aliases without end, or a name
            given twice; the message goes on after the file's name.
    """
    try:
        text = _read(path)
        _check_bounds(text)
        return yaml.load(text, Loader=_Loader)
    except UnicodeDecodeError as error:
        raise ValueError(f"{_NOT_YAML}: it is not UTF-8 ({error.reason})") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"{_NOT_YAML}: {' '.join(str(error).split())[:300]}") from error


def settings_of_file(path: Path) -> Any:
    """The content of the file of `--config`.

    Raises:
        UserError: as `read_yaml` raises; or there is nothing in it.
    """
    try:
        content = read_yaml(path)
    except ValueError as error:
        reason = str(error)
        raise UserError(f"--config: {path} {reason if reason[0].islower() else f'{_NOT_YAML}: {reason}'}") from error
    if content is None:
        raise UserError(f"--config: {path} is empty; write settings into it, such as data: {{name_or_path: ...}}")
    return content


def check_arguments(arguments: Sequence[str]) -> None:
    """The same of values on the command line, which are YAML too.

    Raises:
        UserError: too deep, or aliases without end. What is no YAML is somebody else's business.
    """
    for before, argument in zip(["", *arguments], arguments, strict=False):
        if "&" in argument or "[[" in argument or "{{" in argument:
            name, equals, value = argument.partition("=")
            is_whole = bool(equals) and name.startswith("--")
            with suppress(yaml.YAMLError):
                try:
                    _check_bounds(value if is_whole else argument)
                except ValueError as error:
                    raise UserError(f"{name if is_whole else before}: the value {error}") from error


def _read(path: Path) -> str:
    """The text of a regular file of at most MOST_BYTES; nothing is waited for, such as a pipe's other end."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ValueError("is no regular file; give a YAML file of settings")
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ValueError(f"can't be read ({error.strerror}); give a YAML file of settings") from error
    if len(content) > MOST_BYTES:
        raise ValueError("is larger than 1 MB, and settings take some kB; give a YAML file of settings")
    return content.decode("utf-8-sig")


def _check_bounds(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):  # events need no recursion, and write no alias out
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            raise ValueError(f"has more than {DEEPEST} levels; settings have four")
    root = yaml.compose(text, Loader=_Loader)
    if root is not None:
        _written_out(root, {}, ())


def _written_out(node: yaml.Node, counted: dict[int, int], above: tuple[int, ...]) -> int:
    """How many values a node is with every alias written out; looks for names that are given twice, too."""
    if id(node) in above:
        raise ValueError(f"has an alias in line {_line(node)} of what it is a part of")
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
        raise ValueError(f"has more than {MOST_NODES:,} values with its aliases written out")
    return counted[id(node)]


def _check_names(section: yaml.MappingNode) -> None:
    lines: dict[str, int] = {}
    for name, _ in section.value:
        if isinstance(name, yaml.ScalarNode) and name.tag != "tag:yaml.org,2002:merge":
            if name.value in lines:
                both = f"in lines {lines[name.value]} and {_line(name)}"
                raise ValueError(f"gives {name.value[:100]!r} twice, {both}; leave out one of them")
            lines[name.value] = _line(name)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
