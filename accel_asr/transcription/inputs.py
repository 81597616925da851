"""Which recordings a person means: files, folders, globs in quotes, `-` for stdin; each once, in order."""

import glob
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from accel_asr.data.reading.text_files import AUDIO_SUFFIXES, list_files
from accel_asr.errors import UserError

STDIN = "-"
SHOWN_PROBLEMS = 10


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording to transcribe: `path`, or stdin where that is None; `name` is how it is told of."""

    name: str
    path: Path | None
    inside: Path  # the folder that it was found in, below which output keeps the folders


def find_recordings(arguments: Sequence[str]) -> tuple[list[Recording], list[str]]:
    """What the arguments name, in their order; folders are searched to their depths, in order of name.

    A file that is named outright is taken whatever its suffix; of folders and globs those with a suffix of audio.

    Returns:
        The recordings, and what a person should know beside: links to folders are not followed.

    Raises:
        UserError: a file that is not there, a folder or a glob without audio; all of them at once.
    """
    found: list[Recording] = []
    problems: list[str] = []
    notes: list[str] = []
    for argument in arguments:
        path = Path(argument)
        if argument == STDIN and sys.stdin.isatty():
            problems.append("'-' is audio on stdin, and stdin is a terminal: give it by < FILE or a pipe")
        elif argument == STDIN:
            found.append(Recording("stdin", None, Path()))
        elif path.is_dir():
            below, _, links = list_files(path)
            found += [Recording(str(path / name), path / name, path) for name in below]
            notes += [f"{path / link} is a link to a folder, and not followed; name it too" for link in links]
            if not below:
                problems.append(f"the folder {argument!r} holds no audio ({_suffixes()})")
        elif path.exists():
            found.append(Recording(argument, path, path.parent))
        elif glob.has_magic(argument):
            matches = [Path(match) for match in sorted(glob.glob(argument, recursive=True))]
            fitting = [match for match in matches if match.is_file() and _is_audio(match.name)]
            base = _folder_before_magic(path)
            found += [Recording(str(match), match, base) for match in fitting]
            if not fitting:
                problems.append(
                    f"{argument!r} matches {'nothing' if not matches else 'files, but no audio'} ({_suffixes()})"
                )
        else:
            problems.append(f"{argument!r} does not exist")
    if problems:
        more = [f"and {len(problems) - SHOWN_PROBLEMS:,} more"] if len(problems) > SHOWN_PROBLEMS else []
        raise UserError("\n  ".join(["what to transcribe:", *problems[:SHOWN_PROBLEMS], *more]))
    return _each_once(found), notes


def output_names(recordings: Sequence[Recording], *, suffix: str) -> list[Path]:
    """A relative path for each: its folders below what all have in common, and its name with another suffix.

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
    # told apart without case: some file systems do not know it
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
