"""Writing that a crash or a full disk can't leave half done: write beside, flush, rename."""

import errno
import json
import math
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from accel_asr.console.public_text import known_secrets, without_secrets
from accel_asr.errors import UserError

WRITING, OUTGOING = ".writing", ".outgoing"  # suffixes of files and folders that are being written or replaced
_FULL_DISK = (errno.ENOSPC, errno.EDQUOT)


def is_full_disk(error: BaseException) -> bool:
    """Whether it says that no space is left, or that a quota is used up."""
    if isinstance(error, SafetensorError):  # wraps the error of the operating system
        return f"os error {errno.ENOSPC}" in str(error)
    return isinstance(error, OSError) and error.errno in _FULL_DISK


def full_disk_error(folder: Path, *, setting: str, remedy: str) -> UserError:
    """What to raise where `is_full_disk`.

    Args:
        setting: The setting that names `folder`.
        remedy: What to do beside making room: `or give another folder by --output_dir`.
    """
    return UserError("no space is left on its disk", setting=setting, value=folder, remedy=f"make room, {remedy}")


@contextmanager
def write_errors_explained(path: Path, *, setting: str, remedy: str = "give another place") -> Iterator[None]:
    """Turn whatever the file system refuses into a message about `setting`, which names `path`.

    Raises:
        UserError: `path` can't be written.
    """
    try:
        yield
    except OSError as error:
        if is_full_disk(error):
            raise full_disk_error(path, setting=setting, remedy=f"or {remedy}") from error
        reason = error.strerror or error
        raise UserError(f"can't be written ({reason})", setting=setting, value=path, remedy=remedy) from error


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` as an indented JSON file, complete or not at all."""
    write_text(path, to_json(content, indent=2) + "\n")


def write_json_lines(path: Path, objects: Iterator[Mapping[str, Any]]) -> None:
    """Write one JSON object a line, complete or not at all."""
    secrets = known_secrets()
    write_text(path, "".join(to_json(line, secrets=secrets) + "\n" for line in objects))


def to_json(content: Any, *, indent: int | None = None, secrets: Sequence[str] | None = None) -> str:
    """`content` as strict JSON: numbers that are not finite become null. Secrets are hidden.

    Args:
        secrets: The result of `known_secrets`, to call it once for many.
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
    """Write `text` in UTF-8, complete or not at all."""
    with file_written_whole(path) as beside:
        beside.write_text(text, encoding="utf-8")


@contextmanager
def file_written_whole(path: Path, *, is_shared: bool = False) -> Iterator[Path]:
    """Give the path of a new file to write; on leaving, flush it to disk and put it in the place of `path`.

    Args:
        is_shared: Several processes may write `path` at the same time. The last to finish wins.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = f".{secrets.token_hex(4)}" if is_shared else ""
    beside = path.with_name(f".{path.name}{writer}{WRITING}")
    try:
        yield beside
        _flush_to_disk(beside)
        beside.replace(path)
    except BaseException:
        with suppress(OSError):
            beside.unlink(missing_ok=True)  # on a full disk it would be in the way
        raise


@contextmanager
def folder_written_whole(folder: Path) -> Iterator[Path]:
    """Give a new folder to fill; on leaving, flush it to disk and put it in the place of `folder`.

    A crash never leaves half a folder. Between the two renames the old folder has another name, which the next run
    undoes.
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
