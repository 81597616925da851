"""Paths that a manifest names: relative to its folder, and within it unless the user allows more."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from accel_asr.console.public_text import visible
from accel_asr.data.reading.file_spellings import FileSpellings
from accel_asr.errors import UserError

MAX_NAMED = 5
MAX_SHOWN = 200  # letters of one value
_WINDOWS_DRIVE = re.compile(r"[A-Za-z]:(?=[/\\])")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # two letters at least: C:// is a drive


class AudioPaths:
    """The paths of one manifest or folder. `refuse_bad` must be called when all are known.

    Args:
        folder: What relative names begin at.
        inside: The folder that no path may leave, unless `allow_outside`; `folder`, if it is not given.
        root: Where relative names begin in place of `folder`, and in which the ends of absolute ones are looked for
            that are of another machine.
    """

    def __init__(
        self, folder: Path, *, allow_outside: bool, inside: Path | None = None, root: Path | None = None
    ) -> None:
        self.folder = folder
        self.allow_outside = allow_outside
        self.root = root
        self.respelled: dict[str, Path] = {}  # names as they are written, and the only file that can be meant
        self.hints: dict[str, str] = {}  # what is wrong with names that may mean several files
        self._spellings = FileSpellings()
        self._inside = [os.path.realpath(inside or folder), *([os.path.realpath(root)] if root is not None else [])]
        self._real_folders: dict[str, str] = {}  # many files share a folder, and resolving one is slow
        self._prefixes: list[str] = []  # of another machine, in place of which `root` stands
        self._urls: list[str] = []
        self._outside: list[str] = []
        self._elsewhere: list[str] = []
        if root is not None and not root.is_dir():
            raise UserError(f"data.audio_root: {str(root)!r} is no folder; give the one that the audio files are in")

    def path(self, name: str) -> Path:
        """The path of `name`; noted down for `refuse_bad` if it is a URL, leads outside, or is of another machine.

        A file that is there under another spelling only is found, and `respelled` tells which; what is not there at all
        is left to whoever reads it.
        """
        path = (self.root or self.folder) / name
        if _URL.match(name):
            self._urls.append(name)
            return path
        if not _is_there(path):
            if (other := self._found_elsewhere(name)) is not None:
                self.respelled[name] = other
                path = other
            elif self._is_of_another_machine(name):
                self._elsewhere.append(name)
                return path
        if not self.allow_outside and not self._is_inside(path):
            self._outside.append(name)
        return path

    def _found_elsewhere(self, name: str) -> Path | None:
        """The only file that a name can mean which is not there as it is written; None if there is none, or several."""
        plain = _WINDOWS_DRIVE.sub("", name.replace("\\", "/"))
        is_relative = not plain.startswith("/") and plain == name.replace("\\", "/")
        if self.root is not None:
            if is_relative and _is_there(path := self.folder / name):
                return path
            if (below := self._below_root(plain)) is not None:
                return below
        for written in dict.fromkeys((plain, plain.strip(), unquote(plain))):
            folder, last = os.path.split(written)
            bases = [base for base in (self.root, self.folder) if base is not None] if is_relative else [Path(folder)]
            for base in bases:
                there = self._spellings.find(base, written if is_relative else last)
                if len(there) == 1:
                    return there[0]
                if there:
                    alike = named([repr(path.name) for path in there])
                    self.hints[name] = f"the file does not exist; several are named alike: {alike}"
        return None

    def _below_root(self, name: str) -> Path | None:
        """The file in `root` that a path ends like: without the folders before, which are the same for many files."""
        assert self.root is not None
        for prefix in self._prefixes:
            if name.startswith(prefix) and _is_there(path := self.root / name[len(prefix) :]):
                return path
        parts = name.split("/")
        if ".." in parts:
            return None
        for number in range(1, len(parts)):
            path = self.root / "/".join(parts[number:])
            if parts[number] and _is_there(path):
                self._prefixes.append("/".join(parts[:number]) + "/")
                return path
        return None

    def _is_of_another_machine(self, name: str) -> bool:
        """Whether it is an absolute path into a folder that is not there."""
        if _WINDOWS_DRIVE.match(name) or name.startswith("\\\\"):
            return True
        return name.startswith("/") and not self._is_inside(Path(name)) and not _is_there(Path(name).parent)

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
        return any(real == inside or real.startswith(os.path.join(inside, "")) for inside in self._inside)

    def refuse_bad(self) -> None:
        """Refuse what was noted down.

        Raises:
            UserError: some name was a URL, led outside, or is of another machine; names the first of them.
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
        if self._elsewhere:
            where = f"not in {str(self.root)!r} either" if self.root else "they are those of another machine"
            problems.append(
                f"data.audio_root: {_named(self._elsewhere, 'absolute path')} in folders that are not there, and "
                f"{where}; give the folder that the files are in now, with --data.audio_root{self._guess()}"
            )
        if problems:
            raise UserError("\n".join(problems))

    def _guess(self) -> str:
        """The root that would do for the first path of another machine, if it lies beside the manifest."""
        parts = _WINDOWS_DRIVE.sub("", self._elsewhere[0].replace("\\", "/")).split("/")
        for number in range(1, len(parts)):
            if ".." not in parts and parts[number] and _is_there(self.folder / "/".join(parts[number:])):
                return f" {self.folder}"
        return " FOLDER"

    def notices(self) -> list[str]:
        """What is said of the files that were found under another spelling."""
        if not self.respelled:
            return []
        pairs = [f"{name!r} is {str(path)!r}" for name, path in self.respelled.items()]
        return [f"{len(pairs):,} files were found by other names than are written: {named(pairs, most=3)}"]


def _is_there(path: Path) -> bool:
    try:
        return os.path.lexists(path)
    except ValueError:  # a zero byte
        return False


def named(names: Sequence[str], *, most: int = MAX_NAMED) -> str:
    """`a, b, c and 4 more`; each cut to a length that can be read, and on one line whatever is in it."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(_cut(visible(name)) for name in names[:most]) + more


def shown(cell: Any) -> str:
    """A cell of a table as a message shows it: as Python writes it, cut, and without halves of characters."""
    written = _cut(repr(cell))
    return written if written.isprintable() else ascii(written)[1:-1]


def _cut(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def _named(names: list[str], what: str) -> str:
    return f"{len(names):,} {what}{'s' * (len(names) > 1)} ({named([repr(name) for name in names])})"
