"""LJSpeech's metadata.csv, and lists that were made after it: fields between `|`, no header, audio by its bare name."""

import os
from pathlib import Path
from typing import Any

from accel_asr.data.reading.audio_paths import named
from accel_asr.files.regular_files import read_regular_text

DELIMITER = "|"
_FOLDERS = ("wavs/", "", "wav/", "audio/", "clips/")
_SUFFIXES = ("", ".wav", ".flac", ".mp3", ".ogg", ".opus")


def read_ljspeech_table(path: Path) -> dict[str, list[Any]] | None:
    """The columns `audio`, `text` and `raw_text` of such a list; None if the file is none.

    Of three fields, `text` is the last, which LJSpeech gives with numbers and abbreviations written out, or the second
    where that is empty; `raw_text` is always the second.

    Raises:
        OSError, UnicodeDecodeError: it can't be read.
        ValueError: a line has another number of fields than the first.
    """
    with path.open(encoding="utf-8-sig", errors="replace") as file:  # whoever reads the rest says what is wrong
        first = file.readline().rstrip("\r\n").split(DELIMITER)
    if len(first) not in (2, 3) or _audio_name(first[0], path.parent) is None:
        return None
    lines = read_regular_text(path).split("\n")
    rows = [line.rstrip("\r").split(DELIMITER) for line in lines if line.strip()]
    odd = [number for number, row in enumerate(rows, start=1) if len(row) != len(first)]
    if odd:
        raise ValueError(
            f"{len(odd):,} of {len(rows):,} lines have not {len(first)} fields between {DELIMITER!r} as the first has: "
            f"line {named([str(number) for number in odd])}"
        )
    return {
        # what is not there keeps its usual name, so that the message of a missing file says what was looked for
        "audio": [_audio_name(row[0], path.parent) or f"{_FOLDERS[0]}{row[0].strip()}.wav" for row in rows],
        "text": [row[-1].strip() or row[1].strip() for row in rows],
        "raw_text": [row[1].strip() for row in rows],
    }


def _audio_name(name: str, folder: Path) -> str | None:
    """The file that a first field means, relative to the list's folder."""
    name = name.strip()
    candidates = (f"{home}{name}{suffix}" for home in _FOLDERS for suffix in _SUFFIXES)
    return next((candidate for candidate in candidates if name and os.path.isfile(folder / candidate)), None)
