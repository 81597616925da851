"""The folder of a run: claimed by one process, cleared up after a crash, its full disk explained."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from safetensors import SafetensorError

from accel_asr.errors import UserError
from accel_asr.files.atomic_writes import OUTGOING, WRITING, full_disk_error, is_full_disk, write_errors_explained

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

CONFIG_FILE = "config.yaml"
CHECKPOINTS_DIR = "checkpoints"
LOCK_FILE = ".lock"
OUT_OF_MEMORY_NOTE = ".out-of-memory"  # left by the first rank that had none, until the next run in the folder
SETTING = "--output_dir"
_CHECKPOINT = re.compile(r"step-\d{8,}")
_locked_files: list[IO[bytes]] = []  # a lock lasts as long as its file is open


def claim_run_folder(output_dir: Path, *, resume: bool) -> None:
    """Refuse a folder that holds another run, and lock it for this one; call before anything is written.

    Only the first rank locks. The lock goes with the process, however that ends.

    Raises:
        UserError: the folder is a file, holds a run that is not to be resumed, can't be written, or is being written
            by another process.
    """
    another = f"give another folder by {SETTING}"
    if os.path.exists(output_dir / CONFIG_FILE) and not resume:  # Path.exists raises where it may not look
        raise UserError(
            "already holds a run",
            setting=SETTING,
            value=output_dir,
            remedy=f"continue it with --checkpoint.resume true, or {another}",
        )
    with write_errors_explained(output_dir, setting=SETTING, remedy=another):
        output_dir.mkdir(parents=True, exist_ok=True)
    if not os.access(output_dir, os.W_OK):
        raise UserError("can't be written", setting=SETTING, value=output_dir, remedy=another)
    if os.environ.get("RANK", "0") == "0":
        with write_errors_explained(output_dir, setting=SETTING, remedy=f"remove its {LOCK_FILE}, or {another}"):
            _lock(output_dir)
        _clear_up_after_a_crash(output_dir)


def _lock(output_dir: Path) -> None:
    """Lock the folder as POSIX record locks do: not inherited by data workers, and gone with the process."""
    if fcntl is None:
        return
    file = (output_dir / LOCK_FILE).open("ab")
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            return  # a file system without locks
        raise UserError(
            "another process is writing it",
            setting=SETTING,
            value=output_dir,
            remedy=f"wait for it to end, or give another folder by {SETTING}",
        ) from error
    _locked_files.append(file)


def _clear_up_after_a_crash(output_dir: Path) -> None:
    """Remove what is half written, and put back a folder that was about to be replaced."""
    (output_dir / OUT_OF_MEMORY_NOTE).unlink(missing_ok=True)
    for parent in (output_dir, output_dir / CHECKPOINTS_DIR):
        for half in parent.glob(f".*{WRITING}"):
            shutil.rmtree(half) if half.is_dir() else half.unlink()
        for outgoing in parent.glob(f".*{OUTGOING}"):
            replaced = outgoing.with_name(outgoing.name.removeprefix(".").removesuffix(OUTGOING))
            shutil.rmtree(outgoing) if replaced.exists() else outgoing.rename(replaced)


@contextmanager
def full_disk_explained(output_dir: Path) -> Iterator[None]:
    """Turn the errors of a full disk into one message that says what is safe and what to do.

    Raises:
        UserError: the disk is full, or a quota is used up.
    """
    try:
        yield
    except Exception as error:
        if not is_full_disk(error):
            raise
        raise full_disk_error(output_dir, setting=SETTING, remedy=f"and {_way_to_continue(output_dir)}") from error


@contextmanager
def failed_writes_explained(output_dir: Path) -> Iterator[None]:
    """Explain whatever the file system refuses, a full disk among it: put it around nothing but writing.

    Raises:
        UserError: `output_dir` can't be written (any more).
    """
    try:
        with full_disk_explained(output_dir):
            yield
    except (OSError, SafetensorError) as error:
        if isinstance(error, SafetensorError) and "os error" not in str(error):
            raise
        raise UserError(
            f"can't be written any more ({error})",
            setting=SETTING,
            value=output_dir,
            remedy=f"mend that, and {_way_to_continue(output_dir)}",
        ) from error


def _way_to_continue(output_dir: Path) -> str:
    checkpoints = list_checkpoints(output_dir)
    return f"continue from {str(checkpoints[-1])!r} with --checkpoint.resume true" if checkpoints else "start again"


def checkpoint_path(output_dir: Path, step: int) -> Path:
    """`output_dir/checkpoints/step-00000030`: the names sort by step."""
    return output_dir / CHECKPOINTS_DIR / f"step-{step:08d}"


def list_checkpoints(output_dir: Path) -> list[Path]:
    """The complete checkpoints, oldest first: neither one that is being written nor a user's copy of another name."""
    folders = (output_dir / CHECKPOINTS_DIR).glob("step-[0-9]*")
    return sorted(path for path in folders if _CHECKPOINT.fullmatch(path.name) and path.is_dir())
