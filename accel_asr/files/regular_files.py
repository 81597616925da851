"""Opening regular files only: reading a pipe, a socket or a device could wait for ever."""

import errno
import io
import os
import stat
from pathlib import Path
from typing import BinaryIO

NO_REGULAR_FILE = "it is a pipe, a socket or a device, and no regular file"


def is_no_regular_file(path: Path) -> bool:
    """Whether it exists and is neither a file nor a folder."""
    return path.exists() and not path.is_file() and not path.is_dir()


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file to read.

    Raises:
        OSError: it can't be opened, or is no regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise OSError(errno.EINVAL, NO_REGULAR_FILE, str(path))


def read_regular_text(path: Path) -> str:
    """The text of a regular file in UTF-8, with or without a byte order mark.

    Raises:
        OSError: as `open_regular`.
        UnicodeDecodeError: it is not UTF-8.
    """
    with io.TextIOWrapper(open_regular(path), encoding="utf-8-sig") as file:
        return file.read()
