"""Audio files by the names that a manifest gives them: relative to its folder, and inside of it unless allowed."""

import os
import re
import unicodedata
from pathlib import Path
from urllib.parse import unquote

from accel_asr.data.reading.source_table import first_few, source_error
from accel_asr.errors import UserError, raise_all

_WINDOWS_DRIVE = re.compile(r"[A-Za-z]:(?=[/\\])")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # two letters at least: C:// is a drive
_OLD_ENCODINGS = ("cp1252", "latin-1")


class AudioPaths:
    """The paths of one manifest or folder. Call `refuse_bad` once all are known.

    Args:
        folder: Where relative names begin.
        inside: The folder that no path may leave, unless `allow_outside`; by default `folder`.
        root: Where relative names begin instead, and where the ends of another machine's absolute paths are looked for.
    """

    def __init__(
        self, folder: Path, *, allow_outside: bool, inside: Path | None = None, root: Path | None = None
    ) -> None:
        self.folder = folder
        self.allow_outside = allow_outside
        self.root = root
        self.respelled: dict[str, Path] = {}  # names as written -> the only file that can be meant
        self.hints: dict[str, str] = {}  # what is wrong with names that may mean several files
        self._listings: dict[Path, dict[str, list[str]]] = {}
        self._inside = [os.path.realpath(inside or folder), *([os.path.realpath(root)] if root is not None else [])]
        self._real_folders: dict[str, str] = {}  # many files share a folder, and resolving one is slow
        self._foreign_prefixes: list[str] = []  # of another machine's paths, which `root` replaces
        self._urls: list[str] = []
        self._outside: list[str] = []
        self._foreign: list[str] = []
        if root is not None and not root.is_dir():
            raise UserError(
                "is not a folder",
                setting="--data.audio_root",
                value=root,
                remedy="give the folder that the audio files are in",
            )

    def path(self, name: str) -> Path:
        """The path of `name`; `refuse_bad` will refuse a URL, a path outside, or one of another machine.

        A file that exists only under another spelling is found, and noted in `respelled`. A missing file is reported
        when it is read.
        """
        path = (self.root or self.folder) / name
        if _URL.match(name):
            self._urls.append(name)
            return path
        if not _exists(path):
            if (other := self._find_elsewhere(name)) is not None:
                self.respelled[name] = other
                path = other
            elif self._is_foreign(name):
                self._foreign.append(name)
                return path
        if not self.allow_outside and not self._is_inside(path):
            self._outside.append(name)
        return path

    def refuse_bad(self) -> None:
        """Refuse what `path` noted.

        Raises:
            UserError: some names are URLs, lead outside, or are of another machine; names the first few.
        """
        problems = []
        if self._urls:
            problems.append(
                source_error(
                    f"refers to {_counted(self._urls, 'URL')}, and nothing is fetched from addresses in a manifest",
                    self.folder,
                    "download the files and give their paths",
                )
            )
        if self._outside:
            problems.append(
                UserError(
                    f"{_counted(self._outside, 'file')} outside of {str(self.folder)!r} (by an absolute path, .. or a "
                    "link)",
                    setting="--data.allow_outside_paths",
                    value=False,
                    remedy="move them inside, or set --data.allow_outside_paths true if you trust whoever wrote the "
                    "list",
                )
            )
        if self._foreign:
            where = f"nor in {str(self.root)!r}" if self.root else "which looks like another machine's"
            problems.append(
                UserError(
                    f"{_counted(self._foreign, 'absolute path')} in folders that do not exist, {where}",
                    setting="--data.audio_root",
                    remedy=f"give the folder that the files are in now, with --data.audio_root {self._likely_root()}",
                )
            )
        raise_all(problems)

    def notices(self) -> list[str]:
        """A notice of the files that were found under another spelling."""
        if not self.respelled:
            return []
        pairs = [f"{name!r} is {str(path)!r}" for name, path in self.respelled.items()]
        return [f"{len(pairs):,} files have other names than the manifest gives: {first_few(pairs, most=3)}"]

    def _find_elsewhere(self, name: str) -> Path | None:
        """The only file that a misspelled name can mean; None if there are none, or several."""
        plain = _WINDOWS_DRIVE.sub("", name.replace("\\", "/"))
        is_relative = not plain.startswith("/") and plain == name.replace("\\", "/")
        if self.root is not None:
            if is_relative and _exists(path := self.folder / name):
                return path
            if (below := self._find_below_root(plain, self.root)) is not None:
                return below
        for written in dict.fromkeys((plain, plain.strip(), unquote(plain))):
            folder, last = os.path.split(written)
            bases = [base for base in (self.root, self.folder) if base is not None] if is_relative else [Path(folder)]
            for base in bases:
                candidates = self._spelled_alike(base, written if is_relative else last)
                if len(candidates) == 1:
                    return candidates[0]
                if candidates:
                    alike = first_few([repr(path.name) for path in candidates])
                    self.hints[name] = f"the file does not exist; several have similar names: {alike}"
        return None

    def _find_below_root(self, name: str, root: Path) -> Path | None:
        """The file in `root` with the longest end of a path; the prefix cut off is the same for many files."""
        for prefix in self._foreign_prefixes:
            if name.startswith(prefix) and _exists(path := root / name[len(prefix) :]):
                return path
        for end in _ends_of(name):
            if _exists(path := root / end):
                self._foreign_prefixes.append(name.removesuffix(end))
                return path
        return None

    def _is_foreign(self, name: str) -> bool:
        """Whether it is an absolute path into a folder that does not exist."""
        if _WINDOWS_DRIVE.match(name) or name.startswith("\\\\"):
            return True
        return name.startswith("/") and not self._is_inside(Path(name)) and not _exists(Path(name).parent)

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
        except (OSError, ValueError):  # not a possible path, such as one with a zero byte: there is nothing to read
            return True
        return any(real == inside or real.startswith(os.path.join(inside, "")) for inside in self._inside)

    def _likely_root(self) -> str:
        """The root that would do for the first foreign path, if the file lies beside the manifest."""
        name = _WINDOWS_DRIVE.sub("", self._foreign[0].replace("\\", "/"))
        return str(self.folder) if any(_exists(self.folder / end) for end in _ends_of(name)) else "FOLDER"

    def _spelled_alike(self, base: Path, name: str) -> list[Path]:
        """Files below `base` whose names differ only by case, Unicode form or encoding; folders too, if unambiguous."""
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if not parts or ".." in parts or any("\0" in part for part in parts):
            return []
        here = base
        for number, part in enumerate(parts, start=1):
            if os.path.lexists(here / part):
                here = here / part
                continue
            alike = self._listing(here).get(_spelling_key(part), [])
            if number == len(parts):
                return [here / other for other in alike]
            if len(alike) != 1:
                return []
            here = here / alike[0]
        return [here]

    def _listing(self, folder: Path) -> dict[str, list[str]]:
        """Names in a folder by what their spellings have in common."""
        if folder not in self._listings:
            listing: dict[str, list[str]] = {}
            try:
                names = os.listdir(folder)
            except OSError:
                names = []
            for name in names:
                for key in {_spelling_key(spelling) for spelling in _spellings(name)}:
                    listing.setdefault(key, []).append(name)
            self._listings[folder] = listing
        return self._listings[folder]


def _exists(path: Path) -> bool:
    try:
        return os.path.lexists(path)
    except ValueError:  # a zero byte
        return False


def _ends_of(name: str) -> list[str]:
    """`b/c.wav` and `c.wav` of `/a/b/c.wav`; nothing of a path with `..`."""
    parts = name.split("/")
    return [] if ".." in parts else ["/".join(parts[number:]) for number in range(1, len(parts)) if parts[number]]


def _spelling_key(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _spellings(name: str) -> list[str]:
    """How a name on disk may be written; one that is not UTF-8, also as old encodings read it."""
    if not any("\udc80" <= letter <= "\udcff" for letter in name):
        return [name]
    content = os.fsencode(name)
    return [name, *(content.decode(encoding, errors="replace") for encoding in _OLD_ENCODINGS)]


def _counted(names: list[str], kind: str) -> str:
    return f"{len(names):,} {kind}{'s' * (len(names) > 1)} ({first_few([repr(name) for name in names])})"
