"""The layouts of well-known corpora: Kaldi's data folders, LibriSpeech's transcripts, LJSpeech's metadata.csv."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from accel_asr.data.reading.source_table import Table, first_few, source_error
from accel_asr.data.reading.text_files import AUDIO_SUFFIXES
from accel_asr.errors import raise_all
from accel_asr.files.regular_files import read_regular_text

KALDI_FILE = "wav.scp"
_KALDI_FILES = (KALDI_FILE, "text", "segments", "utt2spk", "utt2lang")
_RECIPE_FOLDERS = frozenset(("data", "dump"))  # names in a wav.scp below them may begin beside them
_MOST_LEVELS = 3  # between such a folder and a wav.scp
_ARCHIVE = re.compile(r"\.(ark|scp)(:\d+)?(\[.*\])?$", re.IGNORECASE)
TRANSCRIPTS_SUFFIX = ".trans.txt"  # LibriSpeech's
_LJSPEECH_DELIMITER = "|"
_LJSPEECH_FOLDERS = ("wavs/", "", "wav/", "audio/", "clips/")
_LJSPEECH_SUFFIXES = ("", ".wav", ".flac", ".mp3", ".ogg", ".opus")


# -- Kaldi


def read_kaldi_folder(folder: Path) -> tuple[Table, Path, list[str], tuple[Path, ...]]:
    """The utterances of a folder, in the order of its `segments`, or else of its `wav.scp`. No command is ever run.

    Returns:
        The columns `utterance_id`, `audio`, `text` and, if there are files for them, `speaker`, `language`, `start` and
        `end`; the folder that names of audio files are relative to; notices; the files that were read.

    Raises:
        UserError: a file is missing, torn or not UTF-8; a recording is a command or an archive; a segment's recording
            is missing.
    """
    files = {name: _kaldi_pairs(folder / name) for name in _KALDI_FILES if (folder / name).is_file()}
    recordings = files[KALDI_FILE]
    if "text" not in files:
        raise source_error(
            "this Kaldi folder has no file text",
            folder,
            "write one, with an utterance's id and its transcript on each line",
        )
    _refuse_commands(recordings, folder)
    home = _kaldi_home(recordings, folder)
    notices = []
    if home != folder:
        notices.append(f"{folder.name}/{KALDI_FILE} names files relative to {str(home)!r}, as Kaldi's recipes do")
    table: dict[str, list[Any]]
    if "segments" in files:
        table = _kaldi_segments(files["segments"], recordings, folder / "segments")
    else:
        table = {"utterance_id": list(recordings), "audio": list(recordings.values())}
    ids = table["utterance_id"]
    for column, name in (("text", "text"), ("speaker", "utt2spk"), ("language", "utt2lang")):
        if name in files:
            table[column] = [files[name].get(utterance) for utterance in ids]
    without = sorted(set(files["text"]) - set(ids))
    if without:
        notices.append(
            f"{len(without):,} of {len(files['text']):,} lines of text have no recording: {first_few(without)}"
        )
    return table, home, notices, tuple(folder / name for name in files)


def _kaldi_pairs(path: Path) -> dict[str, str]:
    """First word -> rest of each line.

    Raises:
        UserError: unreadable, not UTF-8, or the same first word twice.
    """
    pairs: dict[str, str] = {}
    for number, line in enumerate(_lines(path), start=1):
        key, _, rest = line.strip().replace("\t", " ").partition(" ")
        if key in pairs:
            raise source_error(f"it has {key!r} twice, again on line {number}", path, "delete one of the lines")
        if key:
            pairs[key] = rest.strip()
    return pairs


def _refuse_commands(recordings: dict[str, str], folder: Path) -> None:
    commands = [key for key, location in recordings.items() if location.startswith("|") or location.endswith("|")]
    archives = [key for key, location in recordings.items() if location in ("", "-") or _ARCHIVE.search(location)]
    problems = [
        source_error(
            f"{len(keys):,} of {len(recordings):,} recordings are {kind} "
            f"({first_few([f'{key}: {recordings[key]}' for key in keys], most=2)})",
            folder / KALDI_FILE,
            remedy,
        )
        for keys, kind, remedy in (
            (commands, "commands, which are never run", "write their output as audio files, and name these"),
            (archives, "not audio files", "name audio files (FLAC, WAV, ...)"),
        )
        if keys
    ]
    raise_all(problems)


def _kaldi_segments(segments: dict[str, str], recordings: dict[str, str], path: Path) -> dict[str, list[Any]]:
    table: dict[str, list[Any]] = {"utterance_id": [], "audio": [], "start": [], "end": []}
    bad_lines = []
    for utterance, rest in segments.items():
        words = rest.split()
        try:
            recording, start, end = words[0], float(words[1]), float(words[2])
            table["audio"].append(recordings[recording])
        except (IndexError, ValueError, KeyError):
            bad_lines.append(f"{utterance} {rest}")
            continue
        table["utterance_id"].append(utterance)
        table["start"].append(start)
        table["end"].append(None if end == -1 else end)  # -1: to the recording's end
    if bad_lines:
        raise source_error(
            f"{len(bad_lines):,} of {len(segments):,} lines are not segments of recordings in {KALDI_FILE} "
            f"({first_few([repr(line) for line in bad_lines], most=2)})",
            path,
            "write a line as: utterance recording start end, in seconds",
        )
    return table


def _kaldi_home(recordings: dict[str, str], folder: Path) -> Path:
    """The folder that names are relative to: that of the wav.scp, or the one in which the recipe was run."""
    first = next((name for name in recordings.values() if not Path(name).is_absolute()), None)
    if first is None or (folder / first).exists():
        return folder
    absolute = folder.absolute()
    for parent in [absolute, *absolute.parents][: _MOST_LEVELS + 1]:
        if parent.name in _RECIPE_FOLDERS and (parent.parent / first).exists():
            return parent.parent
    return folder


# -- LibriSpeech


def split_of_transcripts(path: str) -> str:
    """`dev-clean` of `LibriSpeech/dev-clean/84/121123/84-121123.trans.txt`; empty if no folder says it."""
    folders = Path(path).parts[:-1]
    return folders[-3] if len(folders) > 2 else ""


def read_transcripts(folder: Path, names: Iterable[str]) -> tuple[Table, list[str]]:
    """The rows of `*.trans.txt` files in order; each line names an audio file beside it.

    Args:
        names: Of the files, relative to `folder`.

    Returns:
        The columns `utterance_id`, `audio` (relative to `folder`), `text` and `speaker`; and notices.

    Raises:
        UserError: a file is unreadable or not UTF-8; no line has its audio file.
    """
    table: dict[str, list[str]] = {"utterance_id": [], "audio": [], "text": [], "speaker": []}
    missing = []
    for name in names:
        path = folder / name
        lines = _lines(path)
        audio = {
            file.stem: file.name for file in sorted(path.parent.iterdir()) if file.suffix.lower() in AUDIO_SUFFIXES
        }
        for line in lines:
            utterance, _, text = line.strip().partition(" ")
            if not utterance:
                continue
            if utterance not in audio:
                missing.append(utterance)
                continue
            table["utterance_id"].append(utterance)
            table["audio"].append((Path(name).parent / audio[utterance]).as_posix())
            table["text"].append(text.strip())
            table["speaker"].append(utterance.split("-", maxsplit=1)[0])
    if not table["audio"]:
        raise source_error(
            f"it has LibriSpeech's {TRANSCRIPTS_SUFFIX} files, but none of their audio files ({first_few(missing)})",
            folder,
            "put them beside the transcripts",
        )
    lines_without = f"{len(missing):,} lines of {TRANSCRIPTS_SUFFIX} files have no audio file: {first_few(missing)}"
    return table, [lines_without] if missing else []


# -- LJSpeech


def read_ljspeech_table(path: Path) -> dict[str, list[Any]] | None:
    """The columns `audio`, `text` and `raw_text` of a list like LJSpeech's metadata.csv; None for other files.

    Fields stand between `|`, without a header, audio by its bare name. Of three fields, `text` is the last, which
    LJSpeech gives with numbers and abbreviations written out, or the second if that is empty; `raw_text` is the second.

    Raises:
        OSError, UnicodeDecodeError: it can't be read.
        ValueError: a line has another number of fields than the first.
    """
    with path.open(encoding="utf-8-sig", errors="replace") as file:  # other readers say what is wrong with it
        first = file.readline().rstrip("\r\n").split(_LJSPEECH_DELIMITER)
    if len(first) not in (2, 3) or _ljspeech_audio(first[0], path.parent) is None:
        return None
    lines = read_regular_text(path).split("\n")
    rows = [line.rstrip("\r").split(_LJSPEECH_DELIMITER) for line in lines if line.strip()]
    odd = [number for number, row in enumerate(rows, start=1) if len(row) != len(first)]
    if odd:
        raise ValueError(
            f"{len(odd):,} of {len(rows):,} lines do not have {len(first)} fields between {_LJSPEECH_DELIMITER!r}, as "
            f"the first does: line {first_few([str(number) for number in odd])}"
        )
    return {
        # a missing file keeps its usual name, for the message about it
        "audio": [
            _ljspeech_audio(row[0], path.parent) or f"{_LJSPEECH_FOLDERS[0]}{row[0].strip()}.wav" for row in rows
        ],
        "text": [row[-1].strip() or row[1].strip() for row in rows],
        "raw_text": [row[1].strip() for row in rows],
    }


def _ljspeech_audio(name: str, folder: Path) -> str | None:
    """The file that a first field means, relative to the list's folder."""
    name = name.strip()
    candidates = (f"{home}{name}{suffix}" for home in _LJSPEECH_FOLDERS for suffix in _LJSPEECH_SUFFIXES)
    return next((candidate for candidate in candidates if name and os.path.isfile(folder / candidate)), None)


def _lines(path: Path) -> list[str]:
    try:
        return read_regular_text(path).split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise source_error(f"can't be read: {error}", path, "it must be UTF-8 text") from error
