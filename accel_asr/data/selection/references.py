"""What validation texts ask of the settings that they are scored by: room for each, and words that stay whole."""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from accel_asr.data.labels import LabelEncoder
from accel_asr.data.selection.preparation import MAX_EXAMPLES, label_lengths
from accel_asr.data.selection.utterances import Utterances

_IN_WORDS = "LMN"  # the first letters of categories: letters, their marks, numbers
_JOINER = "Cf"  # within words too, and not seen


@dataclass(frozen=True)
class ReferenceFaults:
    """Of `texts` validation texts, how many are `empty` after the normaliser or `too_long` for a transcript, and in how
    many it `split` words; with examples: (utterance id, tokens that it needs) and (utterance id, word, pieces)."""

    texts: int
    empty: int
    too_long: int
    most_tokens: int  # that a text needs, with the end of it
    too_long_examples: list[tuple[str, int]]
    split: int
    split_examples: list[tuple[str, str, str]]

    def problem(self, *, normalizer_name: str) -> str | None:
        """Why nothing could be scored; None where something can."""
        if self.empty < self.texts:
            return None
        return (
            f"evaluation.normalizer: {normalizer_name!r} leaves nothing of any validation text to score; choose "
            "another normaliser, or look at the texts"
        )

    def warnings(self, *, normalizer_name: str, max_new_tokens: int, room: int) -> list[str]:
        """For the user, each with setting, value and remedy.

        Args:
            max_new_tokens: The most tokens of a transcript, as `evaluation.generation_max_length` says.
            room: The most that the decoder has room for.
        """
        told = []
        if self.too_long:
            told.append(
                f"evaluation.generation_max_length: {max_new_tokens} is less than {self.too_long:,} of {self.texts:,} "
                f"validation texts need, such as that of {self.too_long_examples[0][0]}: their transcripts will be cut "
                f"off; set it to {min(self.most_tokens, room)} or more (the decoder has room for {room})"
            )
        if self.split:
            name, word, pieces = self.split_examples[0]
            told.append(
                f"evaluation.normalizer: {normalizer_name!r} splits words at the marks of their letters in "
                f"{self.split:,} of {self.texts:,} validation texts, such as {word} of {name} into {pieces}, and "
                "scores the pieces; multilingual leaves them whole"
            )
        return told


def reference_faults(
    utterances: Utterances, *, encoder: LabelEncoder, normalizer: Callable[[str], str], max_new_tokens: int
) -> ReferenceFaults:
    """Look at every validation text; nothing is decoded.

    Args:
        max_new_tokens: The most tokens of a transcript, its end counted.
    """
    start = len(encoder.prefix())
    counted = utterances.numbers(lambda part: label_lengths(part, encoder)) - start
    too_long: list[tuple[str, int]] = []
    for row in np.flatnonzero(counted > max_new_tokens).tolist():
        one = utterances[row]
        needed = int(encoder.lengths([one.text])[0]) - start  # without the times that may have been counted
        if needed > max_new_tokens:
            too_long.append((one.utterance_id, needed))
    split: list[tuple[str, str, str]] = []
    empty = 0
    for one in utterances:
        empty += not normalizer(one.text)
        if found := split_word(one.text, normalizer):
            split.append((one.utterance_id, *found))
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
    """The first word of a text that a normaliser splits at the marks of its letters, and the pieces; None for none.

    Marks that Unicode joins with their letter into one character, as in é or ề, are left alone by all of them.
    """
    composed = unicodedata.normalize("NFKC", text)
    if not any(unicodedata.category(character)[0] == "M" for character in composed):
        return None
    for is_word, characters in groupby(composed, _is_of_word):
        word = "".join(characters)
        if is_word and any(unicodedata.category(character)[0] == "M" for character in word):
            pieces = normalizer(word)
            if len(pieces.split()) > 1:
                return word, pieces
    return None


def _is_of_word(character: str) -> bool:
    category = unicodedata.category(character)
    return category[0] in _IN_WORDS or category == _JOINER
