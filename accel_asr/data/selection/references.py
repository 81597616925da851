"""Checks validation texts against the evaluation settings: do they fit the longest transcript, are words left whole?"""

import math
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from accel_asr.data.labels import LabelEncoder
from accel_asr.data.selection.preparation import MAX_EXAMPLES, label_lengths
from accel_asr.data.selection.utterances import Utterances
from accel_asr.errors import UserError


@dataclass(frozen=True)
class ReferenceFaults:
    """Of `texts` validation texts, how many are `empty` after normalising, how many `too_long` for a transcript, and in
    how many the normaliser `split` a word. Examples are (utterance id, tokens) and (utterance id, word, pieces)."""

    texts: int
    empty: int
    too_long: int
    most_tokens: int  # that a text needs, end-of-text included
    too_long_examples: list[tuple[str, int]]
    split: int
    split_examples: list[tuple[str, str, str]]

    def problem(self, *, normalizer_name: str) -> UserError | None:
        """Why nothing could be scored; None where something can."""
        if self.empty < self.texts:
            return None
        return UserError(
            "leaves nothing of any validation text to score",
            setting="--evaluation.normalizer",
            value=normalizer_name,
            remedy="choose another normaliser, or look at the texts",
        )

    def warnings(self, *, normalizer_name: str, max_new_tokens: int, room: int) -> list[str]:
        """Each with setting, value and remedy.

        Args:
            max_new_tokens: The longest transcript in tokens, `evaluation.generation_max_length`.
            room: The most that the decoder has room for.
        """
        warnings = []
        if self.too_long:
            warnings.append(
                f"evaluation.generation_max_length: {max_new_tokens} is less than {self.too_long:,} of {self.texts:,} "
                f"validation texts need, such as that of {self.too_long_examples[0][0]}: their transcripts will be cut "
                f"off; set it to {min(self.most_tokens, room)} or more (the decoder has room for {room})"
            )
        if self.split:
            name, word, pieces = self.split_examples[0]
            warnings.append(
                f"evaluation.normalizer: {normalizer_name!r} splits words at the marks of their letters in "
                f"{self.split:,} of {self.texts:,} validation texts, such as {word} of {name} into {pieces}, and "
                "scores the pieces; multilingual leaves them whole"
            )
        return warnings


def reference_faults(
    utterances: Utterances,
    *,
    encoder: LabelEncoder,
    normalizer: Callable[[str], str],
    max_new_tokens: int,
    window_s: float = math.inf,
) -> ReferenceFaults:
    """Check every validation text; nothing is decoded.

    Args:
        max_new_tokens: The longest transcript in tokens, end-of-text included.
        window_s: Recordings that are longer are transcribed from window to window: their texts may be of any length.
    """
    start = len(encoder.prefix())
    counted = utterances.numbers(lambda part: label_lengths(part, encoder)) - start
    too_long: list[tuple[str, int]] = []
    for row in np.flatnonzero((counted > max_new_tokens) & (utterances.durations_s() <= window_s)).tolist():
        utterance = utterances[row]
        needed = int(encoder.lengths([utterance.text])[0]) - start  # without timestamps, which may have been counted
        if needed > max_new_tokens:
            too_long.append((utterance.utterance_id, needed))
    split: list[tuple[str, str, str]] = []
    empty = 0
    for utterance in utterances:
        empty += not normalizer(utterance.text)
        if word_and_pieces := split_word(utterance.text, normalizer):
            split.append((utterance.utterance_id, *word_and_pieces))
    return ReferenceFaults(
        texts=len(utterances),
        empty=empty,
        too_long=len(too_long),
        most_tokens=max((needed for _, needed in too_long), default=0),
        too_long_examples=too_long[:MAX_EXAMPLES],
        split=len(split),
        split_examples=split[:MAX_EXAMPLES],
    )


def split_word(text: str, normalizer: Callable[[str], str]) -> tuple[str, str] | None:
    """The first word of a text that a normaliser splits at combining marks, and the pieces; None for none.

    Marks that Unicode composes with their letter into one character, as in é or ề, are left alone by every normaliser.
    """
    composed = unicodedata.normalize("NFKC", text)
    if not _has_marks(composed):
        return None
    for is_word, characters in groupby(composed, _is_of_word):
        word = "".join(characters)
        if is_word and _has_marks(word) and len((pieces := normalizer(word)).split()) > 1:
            return word, pieces
    return None


def _has_marks(text: str) -> bool:
    return any(unicodedata.category(character)[0] == "M" for character in text)


def _is_of_word(character: str) -> bool:
    category = unicodedata.category(character)
    return category[0] in "LMN" or category == "Cf"  # letters, their marks, numbers; joiners
