"""Aligned words of an utterance as a page marks them; of texts without spaces, aligned characters."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from accel_asr.console.public_text import visible
from accel_asr.evaluation.alignments import Edit, align_words
from accel_asr.evaluation.scoring import ScoredUtterance

MAX_SHOWN, MAX_UNFOLDED = 60, 400  # units that are seen at once, and when the rest is unfolded
MAX_TEXT = 2_000  # characters of a text as it was written
_LONG_WORD = 16  # characters a word on average: Chinese, Japanese, Thai; German has 6, Finnish 8


@dataclass(frozen=True)
class Mark:
    """Equal words, or one edit: what was said (empty when made up) and what was heard (empty when missed)."""

    edit: Edit
    said: str
    heard: str


@dataclass(frozen=True)
class MarkedText:
    """`shown` at once, `folded` when asked for; `left_out` units are not in the page. `unit` is word or character."""

    shown: list[Mark]
    folded: list[Mark]
    left_out: int
    unit: str


@dataclass(frozen=True)
class ShownText:
    """A text as it was written, and how many characters were left out at its end."""

    text: str
    left_out: int


def marked(utterance: ScoredUtterance) -> MarkedText:
    """The normalised texts, aligned."""
    texts = (utterance.reference_normalized, utterance.hypothesis_normalized)
    said, heard = (" ".join(map(visible, text.split())) for text in texts)
    by_character = has_no_spaces(said)
    if by_character:
        said, heard = (" ".join(character for character in text if not character.isspace()) for text in (said, heard))
    units = list(_units(said, heard))
    glue = "" if by_character else " "
    return MarkedText(
        shown=_joined(units[:MAX_SHOWN], glue),
        folded=_joined(units[MAX_SHOWN:MAX_UNFOLDED], glue),
        left_out=max(0, len(units) - MAX_UNFOLDED),
        unit="character" if by_character else "word",
    )


def has_no_spaces(text: str) -> bool:
    """Whether the text is of a writing that does not put spaces between words."""
    words = text.split()
    return bool(words) and sum(map(len, words)) / len(words) > _LONG_WORD


def shown_text(text: str, *, most: int = MAX_TEXT) -> ShownText:
    """The first `most` characters of a long text."""
    return ShownText(visible(text[:most]), max(0, len(text) - most))


def _units(said: str, heard: str) -> Iterator[Mark]:
    """One for each word or edit."""
    for run in align_words(said, heard):
        if run.edit == "equal":
            yield from (Mark("equal", word, word) for word in run.reference)
        elif run.edit == "substitute":
            yield from (
                Mark("substitute", one, other) for one, other in zip(run.reference, run.hypothesis, strict=True)
            )
        elif run.edit == "delete":
            yield from (Mark("delete", word, "") for word in run.reference)
        else:
            yield from (Mark("insert", "", word) for word in run.hypothesis)


def _joined(units: list[Mark], glue: str) -> list[Mark]:
    """Neighbours under the same edit as one mark, so that a page of long transcripts stays small."""
    joined: list[Mark] = []
    for edit, run in groupby(units, key=lambda mark: mark.edit):
        together = list(run)
        if edit == "substitute":
            joined += together
        else:
            said, heard = ([getattr(mark, side) for mark in together] for side in ("said", "heard"))
            joined.append(Mark(edit, glue.join(filter(None, said)), glue.join(filter(None, heard))))
    return joined
