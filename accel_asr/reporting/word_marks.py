"""Aligned words of an utterance as a page marks them; aligned characters for texts without spaces."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from accel_asr.console.public_text import visible
from accel_asr.evaluation.alignments import Edit, align_words
from accel_asr.evaluation.scoring import ScoredUtterance

MAX_SHOWN, MAX_UNFOLDED = 60, 400  # words (or characters) shown at once, and after unfolding
MAX_TEXT = 2_000  # characters of a text as written
_LONG_WORD = 16  # characters of an average word: more in Chinese, Japanese and Thai; German has 6, Finnish 8


@dataclass(frozen=True)
class Mark:
    """Equal words, or one edit: what was said (empty if it was added) and what was heard (empty if it was missed)."""

    edit: Edit
    said: str
    heard: str


@dataclass(frozen=True)
class MarkedText:
    """`shown` at once, `folded` on request; `left_out` units are not in the page. `unit` is word or character."""

    shown: list[Mark]
    folded: list[Mark]
    left_out: int
    unit: str


@dataclass(frozen=True)
class ShownText:
    """A text as written, and how many characters of its end are left out."""

    text: str
    left_out: int


def marked(utterance: ScoredUtterance) -> MarkedText:
    """The normalised texts, aligned."""
    texts = (utterance.reference_normalized, utterance.hypothesis_normalized)
    said, heard = (" ".join(map(visible, text.split())) for text in texts)
    by_character = has_no_spaces(said)
    if by_character:
        said, heard = (" ".join(text.replace(" ", "")) for text in (said, heard))
    marks = list(_marks(said, heard))
    glue = "" if by_character else " "
    return MarkedText(
        shown=_joined(marks[:MAX_SHOWN], glue),
        folded=_joined(marks[MAX_SHOWN:MAX_UNFOLDED], glue),
        left_out=max(0, len(marks) - MAX_UNFOLDED),
        unit="character" if by_character else "word",
    )


def has_no_spaces(text: str) -> bool:
    """Whether the text is in a script that puts no spaces between words."""
    words = text.split()
    return bool(words) and sum(map(len, words)) / len(words) > _LONG_WORD


def shown_text(text: str, *, most: int = MAX_TEXT) -> ShownText:
    """The first `most` characters."""
    return ShownText(visible(text[:most]), max(0, len(text) - most))


def _marks(said: str, heard: str) -> Iterator[Mark]:
    """A mark for each word or edit."""
    for run in align_words(said, heard):
        # a deletion has no words on one side, an insertion none on the other
        length = max(len(run.reference), len(run.hypothesis))
        for i in range(length):
            yield Mark(run.edit, "".join(run.reference[i : i + 1]), "".join(run.hypothesis[i : i + 1]))


def _joined(marks: list[Mark], glue: str) -> list[Mark]:
    """Neighbours under the same edit as one mark, so that a page of long transcripts stays small."""
    joined: list[Mark] = []
    for edit, run in groupby(marks, key=lambda mark: mark.edit):
        together = list(run)
        if edit == "substitute":
            joined += together
        else:
            said, heard = ([getattr(mark, side) for mark in together] for side in ("said", "heard"))
            joined.append(Mark(edit, glue.join(filter(None, said)), glue.join(filter(None, heard))))
    return joined
