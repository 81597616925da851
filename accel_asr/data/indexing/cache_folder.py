"""The folder where indexes and downloads are kept from one run to the next."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from accel_asr.errors import UserError

CACHE_VARIABLE = "ACCEL_ASR_CACHE"


def default_cache_dir() -> Path:
    """`$ACCEL_ASR_CACHE`, or the user's own cache folder."""
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named) if named else Path.home() / ".cache" / "accel_asr"


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


def _remedy(cache_dir: Path, told: str) -> str:
    return (
        f"data.cache_dir: {str(cache_dir)!r}: {told}; make room, or give another folder by --data.cache_dir or "
        f"${CACHE_VARIABLE}"
    )
