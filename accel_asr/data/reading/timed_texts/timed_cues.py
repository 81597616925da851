"""What every format of transcripts with times is read into, and the text of a file whatever its encoding."""

import codecs
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from accel_asr.files.regular_files import open_regular

_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_OLD_ENCODING = "cp1252"
# signs that Western texts have beside letters
_OLD_SIGNS = frozenset("«»“”„\u2018\u2019\u201a…\u2013—¿¡°ºª§€£•·\u00b4\xa0\xad")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class TimedCue:
    """A piece of text with its place in a recording.

    Args:
        end_s: None is up to the next cue, or the end of the recording.
        speaker: Who says it, where the format tells.
        tier: The layer of an annotation that it lies on.
        tier_type: What tiers of several speakers have in common: a name, such as ELAN's type of tier.
        recording: Name of the recording, with or without an ending, in a file that annotates several.
    """

    start_s: float
    end_s: float | None
    text: str
    speaker: str | None = None
    tier: str | None = None
    recording: str | None = None
    tier_type: str | None = None


@dataclass(frozen=True)
class AnnotationFile:
    """A file that may hold cues."""

    path: Path

    @cached_property
    def _decoded(self) -> tuple[str, str]:
        with open_regular(self.path) as file:
            return decoded(file.read())

    @property
    def text(self) -> str:
        """Its text, with `\\n` between lines.

        Raises:
            OSError: it can't be read.
            ValueError: its encoding is not known.
        """
        return self._decoded[0]

    @property
    def encoding(self) -> str:
        """The encoding that `text` was read in; raises as `text`."""
        return self._decoded[1]


@dataclass(frozen=True)
class AnnotationFormat:
    """A format of annotation files.

    Args:
        name: For messages.
        read: All cues in the order of the file; empty and impossible ones too, which are counted later. Raises
            ValueError for a file that is damaged, and UserError if a package is missing.
        recognises: Whether a file is of this format, if its suffix alone does not say so; may raise ValueError.
        names_recordings: One file may annotate several recordings, which its cues name.
        names_its_recording: Its cues name the recording, which counts where none has the file's own name.
    """

    name: str
    read: Callable[[AnnotationFile], list[TimedCue]]
    recognises: Callable[[AnnotationFile], bool] | None = None
    names_recordings: bool = False
    names_its_recording: bool = False


def decoded(content: bytes) -> tuple[str, str]:
    """The text of a file and its encoding: Unicode in any form, or else Windows-1252 if it reads as a Western text.

    Raises:
        ValueError: it is neither.
    """
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "utf-8")
    if encoding == "utf-8" and b"\0" in content[:4]:  # UTF-16 without its mark
        encoding = "utf-16-le" if content[1:2] == b"\0" else "utf-16-be"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            raise ValueError(f"it is damaged: {error}") from error
        encoding = _OLD_ENCODING
        text = content.decode(encoding, errors="replace")
        if not _is_western(text):
            raise ValueError(
                "it is neither UTF-8 nor Windows-1252; save it as UTF-8, such as by iconv -f CP1251 -t UTF-8 OLD > NEW"
            ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n"), encoding


def _is_western(text: str) -> bool:
    """Whether letters with accents stand among plain ones, as they do not where another encoding is misread."""
    if any(ord(sign) > 127 and not sign.isalpha() and sign not in _OLD_SIGNS for sign in text):
        return False
    words = [word for word in _WORD.findall(text) if not word.isascii()]
    plain = sum(letter.isascii() for word in words for letter in word)
    return plain * 2 >= sum(map(len, words))  # `Ýòî áûëî` is Russian
