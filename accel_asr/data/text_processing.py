"""Processing of every text before training and scoring: replacements, then written times, punctuation, and case."""

import re
import unicodedata
from dataclasses import dataclass, field
from typing import Literal

from accel_asr.model.written_tokens import TimedWords, timed_words, without_times, written_control_token, written_time

INSIDE_WORDS = frozenset("'’-‐‑")  # noqa: RUF001 - kept between letters: it's, well-known
CONTROL_TOKENS_BEFORE = "control tokens written in the previous text"
CONTROL_TOKENS = "control tokens written in the text"
TIMES = "times written in the text (data.text.written_times: read takes them)"
WRONG_TIMES = "times written in the text that can't be right"
_LATE_S = 0.1  # times may be rounded up, or the clip may lack its last frames
# control characters, joiners, direction marks, byte order marks, soft hyphens, and replacement characters
_UNSEEN = re.compile(r"[\s\x00-\x1f\x7f-\x9f\xad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffd]*")


@dataclass(frozen=True)
class TextProcessing:
    """Nothing by default. `replacements` are applied first, longest first, anywhere in the text.

    A text of invisible characters alone becomes empty.
    """

    lowercase: bool = False
    remove_punctuation: bool = False
    replacements: dict[str, str] = field(default_factory=dict)
    written_times: Literal["refuse", "read"] = "refuse"

    def __call__(self, text: str) -> str:
        """The processed text, stripped."""
        text = self._replaced(text)
        return self._processed(without_times(text) if self.written_times == "read" else text)

    def timed(self, text: str, *, duration_s: float = float("inf")) -> tuple[TimedWords, ...]:
        """The processed text in parts with their times; empty if it has no times, or they are not read.

        Args:
            duration_s: Length of the recording: times that were rounded up beyond it are clamped to it.
        """
        if self.written_times != "read" or self.fault(text):
            return ()
        parts: list[TimedWords] = []
        for part in timed_words(self._replaced(text)):
            if words := self._processed(part.text):
                space = " " if parts and part.text[0].isspace() else ""
                times_s = (min(time_s, duration_s) for time_s in (part.start_s, part.end_s))
                parts.append(TimedWords(space + words, *times_s))
        return tuple(parts)

    def previous(self, text: str | None) -> str | None:
        """A prompt, unchanged except that written times are removed where they are read."""
        return without_times(text) if text and self.written_times == "read" else text

    def fault(self, text: str, *, duration_s: float = float("inf")) -> tuple[str, str] | None:
        """(reason, detail) why a text can't be trained on; None where it can.

        Args:
            duration_s: Length of the recording; no time may be beyond it.
        """
        text = self._replaced(text)
        if token := written_control_token(text):
            return CONTROL_TOKENS, token
        if not (time := written_time(text)):
            return None
        if self.written_times == "refuse":
            return TIMES, time
        try:
            parts = timed_words(text)
        except ValueError as error:
            return WRONG_TIMES, str(error)
        if parts and parts[-1].end_s > duration_s + _LATE_S:
            return WRONG_TIMES, f"<|{parts[-1].end_s:.2f}|> in a recording of {duration_s:.2f} s"
        return None

    def fault_of_previous(self, text: str) -> tuple[str, str] | None:
        """As `fault`, for a prompt."""
        token = written_control_token(text)
        if not token and self.written_times == "refuse":
            token = written_time(text)
        return (CONTROL_TOKENS_BEFORE, token) if token else None

    def _replaced(self, text: str) -> str:
        for old in sorted(self.replacements, key=len, reverse=True):
            text = text.replace(old, self.replacements[old])
        return text

    def _processed(self, text: str) -> str:
        if self.remove_punctuation:
            text = without_punctuation(text)
        if self.lowercase:
            text = text.lower()
        return "" if is_unseen(text) else text.strip()


def is_unseen(text: str) -> bool:
    """Whether a text has only invisible and replacement characters."""
    return bool(_UNSEEN.fullmatch(text))


def comparable(text: str) -> str:
    """A text without case, punctuation, symbols and extra spaces, to tell whether two are the same sentence.

    A text with neither letters nor digits is returned stripped.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = "".join(c if c.isalnum() or unicodedata.category(c)[0] == "M" else " " for c in folded).split()
    return " ".join(words) or text.strip()


def without_punctuation(text: str) -> str:
    """Punctuation becomes a space, except apostrophes and hyphens inside words; combining marks stay."""
    characters = []
    for index, character in enumerate(text):
        is_inside_word = text[index - 1 : index].isalnum() and text[index + 1 : index + 2].isalnum()
        is_punctuation = unicodedata.category(character).startswith("P")
        stays = not is_punctuation or (character in INSIDE_WORDS and is_inside_word)
        characters.append(character if stays else " ")
    return " ".join("".join(characters).split())
