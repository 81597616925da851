"""The folder where indexes and downloads are kept from one run to the next."""

import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from accel_asr.console.printing import say
from accel_asr.errors import UserError

SAID_AFTER_S = 10.0  # a wait for another process that is longer is told of
LONGEST_WAIT_S = 24 * 3600.0  # the index of a very large set takes hours
CACHE_VARIABLE = "ACCEL_ASR_CACHE"


def default_cache_dir() -> Path:
    """`$ACCEL_ASR_CACHE`, or the user's own cache folder."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named)
    try:
        return Path.home() / ".cache" / "accel_asr"
    except RuntimeError as error:  # a container's user without a name and HOME
        raise UserError(
            f"data.cache_dir: this user has no home folder; give --data.cache_dir <folder>, or set {CACHE_VARIABLE}"
        ) from error


def make_cache_folder(folder: Path, *, cache_dir: Path) -> None:
    """Make a folder in the cache, and the cache itself.

    Raises:
        UserError: it can't be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(_remedy(cache_dir, f"it can't be written ({error.strerror})")) from error


@contextmanager
def cache_errors_explained(folder: Path) -> Iterator[None]:
    """Turn a full disk and a folder that can't be written into one message.

    Raises:
        UserError: as said.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            told = "no space is left"
        elif error.errno in (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EEXIST):
            told = f"it can't be written ({error.strerror})"
        else:
            raise
        raise UserError(_remedy(folder, told)) from error


@contextmanager
def cache_locked(lock: Path, *, work: str) -> Iterator[None]:
    """Hold a lock of the cache. A wait for it says who has it, and ends; a lock of a process that has died is free.

    Args:
        work: What is made under it.

    Raises:
        UserError: another process has it for too long.
    """
    held = FileLock(str(lock))
    waited_s = 0.0
    while not held.is_locked:
        try:
            held.acquire(timeout=SAID_AFTER_S)
        except Timeout:
            waited_s += SAID_AFTER_S
            who = f"{_holder(lock)} is making {work}"
            if waited_s >= LONGEST_WAIT_S:
                raise UserError(
                    f"data.cache_dir: {who} since {waited_s / 3600:.0f} hours; end it, or give another folder by "
                    "--data.cache_dir"
                ) from None
            if waited_s == SAID_AFTER_S:
                say(f"waiting: {who}", to_stderr=True)
    try:
        yield
    finally:
        held.release()


def _holder(lock: Path) -> str:
    """Which process of this machine has a lock, as far as the system tells."""
    try:
        inode = lock.stat().st_ino
        for line in Path("/proc/locks").read_text().splitlines():
            fields = line.split()  # 1: FLOCK ADVISORY WRITE 1234 08:01:567 0 EOF
            if fields[1] == "FLOCK" and fields[5].rpartition(":")[2] == str(inode):
                return f"process {fields[4]} of this machine"
    except (OSError, IndexError):
        pass
    return f"another process (which holds {str(lock)!r})"


def reserve_files(folder: Path, sizes: Mapping[str, int], *, cache_dir: Path, setting: str, otherwise: str) -> bool:
    """Make `folder` with these files, by name and length in bytes, with all of their room taken; whole or not at all.

    The caller holds the lock that other processes wait for. Where the folder is, with these files, it stays as it is.

    Args:
        setting: What asks for it, with its value, for the message; `otherwise` says what happens without it.

    Returns:
        Whether it was there and had to be made anew, since a file was missing or of another length.

    Raises:
        UserError: there is not so much room on the disk.
    """
    was_damaged = folder.is_dir()
    if was_damaged:
        if all(_has_length(folder / name, max(length, 1)) for name, length in sizes.items()):
            return False
        shutil.rmtree(folder)
    size, free = sum(sizes.values()), shutil.disk_usage(folder.parent).free
    too_large = UserError(
        f"{setting} needs {size / 1e9:.2f} GB in {str(cache_dir)!r}, where {free / 1e9:.2f} GB are free; make room, "
        f"give another folder by --data.cache_dir, or leave out {setting.partition(':')[0]}: {otherwise}"
    )
    if size > free:
        raise too_large
    writing = folder.with_name(f"{folder.name}.writing")
    shutil.rmtree(writing, ignore_errors=True)
    writing.mkdir()
    try:
        for name, length in sizes.items():
            with (writing / name).open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, max(length, 1))
        writing.rename(folder)
    except OSError as error:
        shutil.rmtree(writing, ignore_errors=True)
        if error.errno == errno.ENOSPC:
            raise too_large from error
        raise
    return was_damaged


def _has_length(path: Path, length: int) -> bool:
    return path.is_file() and path.stat().st_size == length


def _remedy(cache_dir: Path, told: str) -> str:
    return (
        f"data.cache_dir: {str(cache_dir)!r}: {told}; make room, or give another folder by --data.cache_dir or "
        f"${CACHE_VARIABLE}"
    )
