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
from accel_asr.files.atomic_writes import folder_written_whole, is_full_disk, write_errors_explained

SAID_AFTER_S = 10.0  # a longer wait for another process is reported
LONGEST_WAIT_S = 24 * 3600.0  # the index of a very large set takes hours
CACHE_VARIABLE = "ACCEL_ASR_CACHE"
SETTING = "--data.cache_dir"
_DENIED = (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EEXIST)
OTHER_FOLDER = f"give another folder by {SETTING} or ${CACHE_VARIABLE}"


def default_cache_dir() -> Path:
    """`$ACCEL_ASR_CACHE`, or the user's own cache folder."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named)
    try:
        return Path.home() / ".cache" / "accel_asr"
    except RuntimeError as error:  # a container's user without a name and HOME
        raise UserError(
            "is not set, and this user has no home folder",
            setting=SETTING,
            remedy=f"give a folder, or set {CACHE_VARIABLE}",
        ) from error


def make_cache_folder(folder: Path, *, cache_dir: Path) -> None:
    """Make a folder in the cache, and the cache itself.

    Raises:
        UserError: it can't be made.
    """
    with write_errors_explained(cache_dir, setting=SETTING, remedy=OTHER_FOLDER):
        folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def cache_errors_explained(folder: Path) -> Iterator[None]:
    """Turn a full disk and a folder that can't be written into a message about the cache; other errors pass.

    Raises:
        UserError: the folder can't be written.
    """
    try:
        yield
    except OSError as error:
        if not is_full_disk(error) and error.errno not in _DENIED:
            raise
        with write_errors_explained(folder, setting=SETTING, remedy=OTHER_FOLDER):
            raise


@contextmanager
def cache_locked(lock: Path, *, work: str) -> Iterator[None]:
    """Hold a lock of the cache. A long wait for it is reported, and ends. The lock of a process that died is free.

    Args:
        work: What is made while it is held.

    Raises:
        UserError: another process has held it for too long.
    """
    held = FileLock(str(lock))
    waited_s = 0.0
    while not held.is_locked:
        try:
            held.acquire(timeout=SAID_AFTER_S)
        except Timeout:
            waited_s += SAID_AFTER_S
            who = f"another process, which holds {str(lock)!r}, is making {work}"
            if waited_s >= LONGEST_WAIT_S:
                raise UserError(
                    f"{who} since {waited_s / 3600:.0f} hours", setting=SETTING, remedy=f"end it, or {OTHER_FOLDER}"
                ) from None
            if waited_s == SAID_AFTER_S:
                say(f"waiting: {who}", to_stderr=True)
    try:
        yield
    finally:
        held.release()


def reserve_files(folder: Path, sizes: Mapping[str, int], *, cache_dir: Path, setting: str, otherwise: str) -> bool:
    """Make `folder` with these files and take all of their disk space now; complete or not at all.

    The caller holds the lock that other processes wait for. A folder that has these files stays as it is.

    Args:
        sizes: Length in bytes of each file, by name.
        setting: The setting that asks for it, and is true.
        otherwise: What happens without it, for the message.

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
        f"needs {size / 1e9:.2f} GB in {str(cache_dir)!r}, where {free / 1e9:.2f} GB are free",
        setting=setting,
        value=True,
        remedy=f"make room, give another folder by {SETTING}, or leave it out: {otherwise}",
    )
    if size > free:
        raise too_large
    try:
        with folder_written_whole(folder) as writing:
            for name, length in sizes.items():
                with (writing / name).open("wb") as file:
                    os.posix_fallocate(file.fileno(), 0, max(length, 1))
    except OSError as error:
        raise (too_large if is_full_disk(error) else error) from error
    return was_damaged


def _has_length(path: Path, length: int) -> bool:
    return path.is_file() and path.stat().st_size == length
