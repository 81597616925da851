"""What aligning a recording with its text finds: rows to train on, and what is left out of them."""

from dataclasses import dataclass
from typing import Literal

from accel_asr.transcription.segments import Word


@dataclass(frozen=True, slots=True)
class AlignedRow:
    """A piece of the recording and what is said in it, as the given text has it.

    Args:
        start_s, end_s: Seconds from the beginning of the recording.
        previous_text: What is said before it; None at the beginning and after a gap.
        score: How well sound and text fit, 0 to 1.
    """

    start_s: float
    end_s: float
    text: str
    previous_text: str | None
    score: float
    words: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True)
class LeftOut:
    """`text` that is not spoken, with where it would be; or `speech` that is not in the text, with what was heard."""

    kind: Literal["text", "speech"]
    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True, slots=True)
class AlignedRecording:
    """The rows of one recording, in order, and what is left out of it."""

    duration_s: float
    language: str | None
    rows: tuple[AlignedRow, ...]
    left_out: tuple[LeftOut, ...]
    words_in_rows: int
    words_in_text: int
