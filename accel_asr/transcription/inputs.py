"""The recordings to transcribe: files, folders, quoted globs, `-` for stdin; each once, in order."""

import glob
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from accel_asr.data.reading.text_files import AUDIO_SUFFIXES, list_files
from accel_asr.errors import UserError, raise_all

STDIN = "-"
SHOWN_PROBLEMS = 10


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording: `path`, or stdin where that is None; `name` is for messages."""

    name: str
    path: Path | None
    inside: Path  # the folder given by the user; output keeps the folders below it


def find_recordings(arguments: Sequence[str]) -> tuple[list[Recording], list[str]]:
    """The recordings that the arguments name, in their order; folders are searched recursively, in order of name.

    A file named outright is taken whatever its suffix; folders and globs give the files with an audio suffix.

    Returns:
        The recordings, and notes for the user: links to folders are not followed.

    Raises:
        UserError: a missing file, a folder or a glob without audio; all of them at once.
    """
    recordings: list[Recording] = []
    errors: list[UserError] = []

    def refuse(argument: str, problem: str, remedy: str | None = None) -> None:
        errors.append(UserError(problem, setting="FILE", value=argument, remedy=remedy))

    notes: list[str] = []
    for argument in arguments:
        path = Path(argument)
        if argument == STDIN and sys.stdin.isatty():
            refuse(STDIN, "stdin is a terminal", "give audio by < FILE or a pipe")
        elif argument == STDIN:
            recordings.append(Recording("stdin", None, Path()))
        elif path.is_dir():
            below, _, links = list_files(path)
            recordings += [Recording(str(path / name), path / name, path) for name in below]
            notes += [f"{path / link} is a link to a folder, and not followed; name it too" for link in links]
            if not below:
                refuse(argument, f"the folder holds no audio ({_suffixes()})")
        elif path.exists():
            recordings.append(Recording(argument, path, path.parent))
        elif glob.has_magic(argument):
            matches = [Path(match) for match in sorted(glob.glob(argument, recursive=True))]
            fitting = [match for match in matches if match.is_file() and _is_audio(match.name)]
            base = _folder_before_magic(path)
            recordings += [Recording(str(match), match, base) for match in fitting]
            if not fitting:
                refuse(argument, f"matches {'files, but no audio' if matches else 'nothing'} ({_suffixes()})")
        else:
            refuse(argument, "does not exist")
    if len(errors) > SHOWN_PROBLEMS:
        errors[SHOWN_PROBLEMS:] = [UserError(f"and {len(errors) - SHOWN_PROBLEMS:,} more", setting="FILE")]
    raise_all(errors)
    return _each_once(recordings), notes


def output_names(recordings: Sequence[Recording], *, suffix: str) -> list[Path]:
    """A relative path for each: its folders below their common folder, and its name with another suffix.

    `call.wav` gives `call.srt`; where another recording of that folder would too, it gives `call.wav.srt`.
    """
    places = [os.path.abspath(recording.inside) for recording in recordings if recording.path is not None]
    base = os.path.commonpath(places) if places else ""
    folders = [
        Path() if recording.path is None else Path(os.path.relpath(os.path.abspath(recording.path.parent), base))
        for recording in recordings
    ]
    names = [Path(recording.path.name if recording.path is not None else recording.name) for recording in recordings]
    short = [folder / f"{name.stem}{suffix}" for folder, name in zip(folders, names, strict=True)]
    # compared without case, which some file systems ignore
    counts: dict[str, int] = {}
    for path in short:
        counts[str(path).casefold()] = counts.get(str(path).casefold(), 0) + 1
    return [
        path if counts[str(path).casefold()] == 1 else folder / f"{name.name}{suffix}"
        for path, folder, name in zip(short, folders, names, strict=True)
    ]


def _folder_before_magic(pattern: Path) -> Path:
    parts = pattern.parts[:-1]
    first = next((index for index, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    return Path(*parts[:first])


def _is_audio(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in AUDIO_SUFFIXES


def _suffixes() -> str:
    return f"files that end in {' '.join(sorted(AUDIO_SUFFIXES))}"


def _each_once(recordings: Iterable[Recording]) -> list[Recording]:
    first: dict[str, Recording] = {}
    for recording in recordings:
        first.setdefault(os.path.abspath(recording.path) if recording.path else STDIN, recording)
    return list(first.values())
