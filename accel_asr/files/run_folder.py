"""The folder of a run: claimed once, described for later readers, and written so that a crash leaves no half file."""

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
from accel_asr.files.atomic_writes import OUTGOING, WRITING

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

CONFIG_FILE = "config.yaml"
CHECKPOINTS_DIR = "checkpoints"
LOCK_FILE = ".lock"
_FULL_DISK_ERRNOS = (errno.ENOSPC, errno.EDQUOT)
_CHECKPOINT = re.compile(r"step-\d{8,}")
_held_locks: list[IO[bytes]] = []  # a lock lasts as long as its file is open


def claim_run_folder(output_dir: Path, *, resume: bool) -> None:
    """Refuse a folder that holds another run, and lock it for this one; call before anything is written.

    Only the first rank locks. The lock is the process's own: it goes with the process, however that ends.

    Raises:
        UserError: the folder is a file, holds a run that is not to be resumed, can't be written, or is being written
            by another process.
    """
    if os.path.exists(output_dir / CONFIG_FILE) and not resume:  # Path.exists raises where it may not look
        raise UserError(
            f"output_dir: {str(output_dir)!r} already holds a run; go on with it by --checkpoint.resume true, or give "
            "another folder by --output_dir"
        )
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"output_dir: {str(output_dir)!r} can't be made a folder ({error.strerror}); give another by --output_dir"
        ) from error
    if not os.access(output_dir, os.W_OK):
        raise UserError(f"output_dir: {str(output_dir)!r} can't be written; give another folder by --output_dir")
    if os.environ.get("RANK", "0") == "0":
        try:
            _lock(output_dir)
        except OSError as error:
            raise UserError(
                f"output_dir: {str(output_dir / LOCK_FILE)!r} can't be written ({error.strerror}); remove it, or give "
                "another folder by --output_dir"
            ) from error
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
            f"output_dir: another process is writing {str(output_dir)!r}; wait for it to end, or give another folder "
            "by --output_dir"
        ) from error
    _held_locks.append(file)


def _clear_up_after_a_crash(output_dir: Path) -> None:
    """Remove half-written folders, and put back one that was about to be replaced."""
    for parent in (output_dir, output_dir / CHECKPOINTS_DIR):
        for left in parent.glob(f".*{WRITING}"):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        for left in parent.glob(f".*{OUTGOING}"):
            replaced = left.with_name(left.name.removeprefix(".").removesuffix(OUTGOING))
            shutil.rmtree(left) if replaced.exists() else left.rename(replaced)


@contextmanager
def full_disk_explained(output_dir: Path) -> Iterator[None]:
    """Turn the errors of a full disk into one message that says what is safe and what to do.

    Raises:
        UserError: the disk is full, or a quota is used up.
    """
    try:
        yield
    except Exception as error:
        full = isinstance(error, OSError) and error.errno in _FULL_DISK_ERRNOS
        # safetensors wraps the error of the operating system in one of its own
        if not (full or (isinstance(error, SafetensorError) and "os error 28" in str(error))):
            raise
        raise UserError(
            f"output_dir: no space is left on the disk of {str(output_dir)!r}; make room, and {_way_on(output_dir)}"
        ) from error


@contextmanager
def failed_writes_explained(output_dir: Path) -> Iterator[None]:
    """As `full_disk_explained`, and so for whatever else the file system refuses: put it around nothing but writing.

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
            f"output_dir: {str(output_dir)!r} can't be written any more ({error}); mend that, and {_way_on(output_dir)}"
        ) from error


def _way_on(output_dir: Path) -> str:
    checkpoints = list_checkpoints(output_dir)
    return f"go on from {str(checkpoints[-1])!r} by --checkpoint.resume true" if checkpoints else "start again"


def checkpoint_path(output_dir: Path, step: int) -> Path:
    """`output_dir/checkpoints/step-00000030`: the names sort by step."""
    return output_dir / CHECKPOINTS_DIR / f"step-{step:08d}"


def list_checkpoints(output_dir: Path) -> list[Path]:
    """The complete checkpoints, oldest first. One that is being written has another name, and so has a user's copy."""
    found = (output_dir / CHECKPOINTS_DIR).glob("step-[0-9]*")
    return sorted(path for path in found if _CHECKPOINT.fullmatch(path.name) and path.is_dir())
