"""Kaldi data folders: wav.scp, text, utt2spk and segments. A line that is a command is refused, and never run."""

import re
from pathlib import Path
from typing import Any

from accel_asr.data.reading.audio_paths import named
from accel_asr.data.reading.source_table import Table
from accel_asr.errors import UserError
from accel_asr.files.regular_files import read_regular_text

KALDI_FILE = "wav.scp"
_FILES = (KALDI_FILE, "text", "segments", "utt2spk", "utt2lang")
_HOMES = frozenset(("data", "dump"))  # folders of a recipe; names in a wav.scp below them begin beside them
_MOST_LEVELS = 3  # between such a folder and a wav.scp
_ARCHIVE = re.compile(r"\.(ark|scp)(:\d+)?(\[.*\])?$", re.IGNORECASE)


def read_kaldi_folder(folder: Path) -> tuple[Table, Path, list[str], tuple[Path, ...]]:
    """The utterances of a folder, in the order of its `segments`, or else of its `wav.scp`.

    Returns:
        The columns `utterance_id`, `audio`, `text`, `speaker`, and where there are files that say so, `language`,
        `start` and `end`; the folder from which the names of audio files begin; notices; the files that were read.

    Raises:
        UserError: a file is missing, torn or not UTF-8; a recording is a command or an archive; a segment is of a
            recording that is not there.
    """
    read = {name: _pairs(folder / name) for name in _FILES if (folder / name).is_file()}
    recordings = read[KALDI_FILE]
    if "text" not in read:
        raise UserError(
            f"data.name_or_path: the Kaldi folder {str(folder)!r} has no file text, with an utterance's id and what "
            "is said on each line; write it"
        )
    _refuse_commands(recordings, folder)
    home = _home_of_names(recordings, folder)
    notices = []
    if home != folder:
        notices.append(f"{folder.name}/{KALDI_FILE} names files from {str(home)!r} on, as Kaldi's recipes do")
    table: dict[str, list[Any]]
    if "segments" in read:
        table = _segments(read["segments"], recordings, folder / "segments")
    else:
        table = {"utterance_id": list(recordings), "audio": list(recordings.values())}
    ids = table["utterance_id"]
    for column, name in (("text", "text"), ("speaker", "utt2spk"), ("language", "utt2lang")):
        if name in read:
            table[column] = [read[name].get(utterance) for utterance in ids]
    without = sorted(set(read["text"]) - set(ids))
    if without:
        notices.append(f"{len(without):,} of {len(read['text']):,} lines of text have no recording: {named(without)}")
    return table, home, notices, tuple(folder / name for name in read)


def _pairs(path: Path) -> dict[str, str]:
    """First word -> rest of each line.

    Raises:
        UserError: unreadable, not UTF-8, or a first word that comes twice.
    """
    try:
        lines = read_regular_text(path).split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"data.name_or_path: can't read {str(path)!r}: {error}; it must be UTF-8 text") from error
    pairs: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        key, _, rest = line.strip().replace("\t", " ").partition(" ")
        if key in pairs:
            raise UserError(f"data.name_or_path: {str(path)!r} has {key!r} twice, again on line {number}; mend it")
        if key:
            pairs[key] = rest.strip()
    return pairs


def _refuse_commands(recordings: dict[str, str], folder: Path) -> None:
    commands = [key for key, said in recordings.items() if said.startswith("|") or said.endswith("|")]
    archives = [key for key, said in recordings.items() if said in ("", "-") or _ARCHIVE.search(said)]
    problems = [
        f"data.name_or_path: {len(keys):,} of {len(recordings):,} recordings in {str(folder / KALDI_FILE)!r} are "
        f"{what} ({named([f'{key}: {recordings[key]}' for key in keys], most=2)}); {remedy}"
        for keys, what, remedy in (
            (
                commands,
                "commands, which are never run",
                "write what they give as audio files (FLAC, WAV, ...), and name these in a wav.scp",
            ),
            (archives, "no audio files", "name audio files (FLAC, WAV, ...) in a wav.scp"),
        )
        if keys
    ]
    if problems:
        raise UserError("\n".join(problems))


def _segments(segments: dict[str, str], recordings: dict[str, str], path: Path) -> dict[str, list[Any]]:
    table: dict[str, list[Any]] = {"utterance_id": [], "audio": [], "start": [], "end": []}
    bad = []
    for utterance, said in segments.items():
        words = said.split()
        try:
            recording, start, end = words[0], float(words[1]), float(words[2])
            table["audio"].append(recordings[recording])
        except (IndexError, ValueError, KeyError):
            bad.append(f"{utterance} {said}")
            continue
        table["utterance_id"].append(utterance)
        table["start"].append(start)
        table["end"].append(None if end == -1 else end)  # -1: to the recording's end
    if bad:
        raise UserError(
            f"data.name_or_path: {len(bad):,} of {len(segments):,} lines of {str(path)!r} are no segments of "
            f"recordings in {KALDI_FILE} ({named([repr(line) for line in bad], most=2)}); a line is: "
            "utterance recording start end, in seconds"
        )
    return table


def _home_of_names(recordings: dict[str, str], folder: Path) -> Path:
    """The folder that relative names begin at: the one of the wav.scp, or what a recipe was run in."""
    first = next((name for name in recordings.values() if not Path(name).is_absolute()), None)
    if first is None or (folder / first).exists():
        return folder
    absolute = folder.absolute()
    for parent in [absolute, *absolute.parents][: _MOST_LEVELS + 1]:
        if parent.name in _HOMES and (parent.parent / first).exists():
            return parent.parent
    return folder
