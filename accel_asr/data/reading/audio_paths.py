"""Paths that a manifest names: relative to its folder, and within it unless the user allows more."""

import os
import re
from pathlib import Path

from accel_asr.errors import UserError

MAX_NAMED = 5
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # two letters at least: C:// is a drive


class AudioPaths:
    """The paths of one manifest or folder. `refuse_bad` must be called when all are known.

    Args:
        folder: What relative names begin at.
        inside: The folder that no path may leave; `folder`, if it is not given.
    """

    def __init__(self, folder: Path, *, allow_outside: bool, inside: Path | None = None) -> None:
        self.folder = folder
        self.allow_outside = allow_outside
        self._inside = os.path.realpath(inside or folder)
        self._real_folders: dict[str, str] = {}  # many files share a folder, and resolving one is slow
        self._urls: list[str] = []
        self._outside: list[str] = []

    def path(self, name: str) -> Path:
        """The path of `name`; noted down for `refuse_bad` if it is a URL or leads outside."""
        path = self.folder / name
        if _URL.match(name):
            self._urls.append(name)
        elif not self.allow_outside and not self._is_inside(path):
            self._outside.append(name)
        return path

    def _is_inside(self, path: Path) -> bool:
        """Whether a path stays in the folder when `..` and symbolic links are followed."""
        try:
            if path.name == ".." or path.is_symlink():
                real = os.path.realpath(path)
            else:
                parent = str(path.parent)
                if parent not in self._real_folders:
                    self._real_folders[parent] = os.path.realpath(parent)
                real = os.path.join(self._real_folders[parent], path.name)
        except (OSError, ValueError):  # no path at all, such as one with a zero byte: there is nothing to read
            return True
        return real == self._inside or real.startswith(os.path.join(self._inside, ""))

    def refuse_bad(self) -> None:
        """Refuse what was noted down.

        Raises:
            UserError: some name was a URL or led outside; names the first of them.
        """
        problems = []
        if self._urls:
            problems.append(
                f"data.name_or_path: {str(self.folder)!r} refers to {_named(self._urls, 'URL')}; nothing is fetched "
                "from addresses in a manifest: download the files and give their paths"
            )
        if self._outside:
            problems.append(
                f"data.allow_outside_paths: false, but {_named(self._outside, 'file')} outside of "
                f"{str(self.folder)!r} (by an absolute path, .. or a link); move them inside, or set "
                "--data.allow_outside_paths true if you trust whoever wrote the list"
            )
        if problems:
            raise UserError("\n".join(problems))


def named(names: list[str], *, most: int = MAX_NAMED) -> str:
    """`a, b, c and 4 more`."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _named(names: list[str], what: str) -> str:
    return f"{len(names):,} {what}{'s' * (len(names) > 1)} ({named([repr(name) for name in names])})"
