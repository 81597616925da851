"""Writing that a crash or a full disk can't leave half done: write beside, flush, rename."""

import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accel_asr.console.public_text import known_secrets, without_secrets

WRITING, OUTGOING = ".writing", ".outgoing"  # ends of the names of files and folders that are being written or replaced


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` as an indented JSON file, complete or not at all."""
    write_text(path, to_json(content, indent=2) + "\n")


def write_json_lines(path: Path, objects: Iterator[Mapping[str, Any]]) -> None:
    """Write one JSON object a line, complete or not at all."""
    secrets = known_secrets()
    write_text(path, "".join(to_json(line, secrets=secrets) + "\n" for line in objects))


def to_json(content: Any, *, indent: int | None = None, secrets: Sequence[str] | None = None) -> str:
    """`content` as JSON that every reader takes: numbers that are not finite become null. Secrets are hidden.

    Args:
        secrets: As `known_secrets` gives them, where it is asked once for many.
    """
    hidden = known_secrets() if secrets is None else secrets
    return json.dumps(_finite(content, hidden), indent=indent, ensure_ascii=False, allow_nan=False)


def _finite(content: Any, secrets: Sequence[str]) -> Any:
    if isinstance(content, str):
        return without_secrets(content, secrets)
    if isinstance(content, float) and not math.isfinite(content):
        return None
    if isinstance(content, Mapping):
        return {_finite(name, secrets): _finite(value, secrets) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value, secrets) for value in content]
    return content


def write_text(path: Path, text: str) -> None:
    """Write beside, flush, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}{WRITING}")
    try:
        with beside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)  # on a full disk it would be in the way
        raise


@contextmanager
def folder_written_whole(folder: Path) -> Iterator[Path]:
    """Give a new folder to fill; on leaving, flush it to disk and put it in the place of `folder`.

    A crash leaves the old folder (between two renamings under another name, which the next run undoes), and never a
    half-written one.
    """
    beside = folder.with_name(f".{folder.name}{WRITING}")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        beside.mkdir(parents=True)
        yield beside
        for path in beside.rglob("*"):
            if path.is_file():
                _flush_to_disk(path)
        _flush_to_disk(beside)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)  # on a full disk it would be in the way
        raise
    if folder.exists():
        outgoing = folder.with_name(f".{folder.name}{OUTGOING}")
        shutil.rmtree(outgoing, ignore_errors=True)
        folder.rename(outgoing)
        beside.rename(folder)
        shutil.rmtree(outgoing)
    else:
        beside.rename(folder)
    _flush_to_disk(folder.parent)


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
