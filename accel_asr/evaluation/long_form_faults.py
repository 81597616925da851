"""What is wrong with the transcript of a long recording: loops, missing stretches, and segments at other times.

Texts are compared in normalised words; in scripts without spaces, in characters.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from textwrap import shorten
from typing import Any

from accel_asr.evaluation.alignments import align_words
from accel_asr.model.written_tokens import UNSPACED, TimedWords
from accel_asr.transcription.segments import Segment

MISSING_WORDS = 10  # fewer deleted words are no missing stretch
_BRIDGED = 2  # words that an alignment may find by chance within one
LOOP_REPEATS, LOOP_CHARACTERS, LONGEST_PIECE = 4, 12, 40  # pieces in words
_WORDS_AROUND = 8
_SHOWN_CHARACTERS = 400
_WORD = re.compile(rf"[{UNSPACED}]|[^\s{UNSPACED}]+")


@dataclass(frozen=True, slots=True)
class PlacedWord:
    """A normalised word. The words of a segment share its time evenly.

    `begins`, `ends`: It is the first or last word of its segment.
    """

    word: str
    start_s: float
    end_s: float
    begins: bool
    ends: bool


@dataclass(frozen=True, slots=True)
class Stretch:
    """A piece of a recording, in normalised words.

    Args:
        words: How many are missing, or too many.
        before, after: The words around it: of the reference where it is missing, of the transcript of a loop.
    """

    recording: str
    start_s: float
    end_s: float
    words: int
    before: str
    text: str
    after: str

    @property
    def seconds(self) -> float:
        return self.end_s - self.start_s

    def to_json(self) -> dict[str, Any]:
        """For a report: a long text is cut."""
        times = {"start_s": round(self.start_s, 2), "end_s": round(self.end_s, 2)}
        return asdict(self) | times | {"text": shorten(self.text, _SHOWN_CHARACTERS, placeholder=" ...")}


@dataclass(frozen=True)
class LongFormFaults:
    """Of one recording.

    Args:
        loops: A piece of at most 40 words four times or more in a row, which the reference does not have.
        missing: Ten or more words of the reference that were not written.
        boundary_errors_s: How far the start or end of a segment is from the true one, where both begin or end with the
            same word and the true time is known.
    """

    loops: tuple[Stretch, ...] = ()
    missing: tuple[Stretch, ...] = ()
    boundary_errors_s: tuple[float, ...] = ()


def find_faults(
    recording: str,
    reference: Sequence[TimedWords],
    written: Sequence[Segment],
    normalize: Callable[[str], str],
    *,
    is_timed: bool = True,
) -> LongFormFaults:
    """Compare what was said with what was written.

    Args:
        recording: Its name.
        reference: All of the text. Where its times are not known, one part from beginning to end, so that the times
            of missing words are estimates.
        is_timed: The times of `reference` are known.
    """
    said, heard = placed_words(reference, normalize), placed_words(written, normalize)
    same, deleted = _aligned(said, heard)
    errors_s: list[float] = []
    if is_timed:
        for of_said, of_heard in same:
            true, found = said[of_said], heard[of_heard]
            if true.begins and found.begins:
                errors_s.append(abs(found.start_s - true.start_s))
            if true.ends and found.ends:
                errors_s.append(abs(found.end_s - true.end_s))
    return LongFormFaults(
        loops=tuple(find_loops(recording, heard, " ".join(placed.word for placed in said))),
        missing=tuple(_missing_stretches(recording, said, deleted)),
        boundary_errors_s=tuple(errors_s),
    )


def placed_words(
    segments: Sequence[TimedWords] | Sequence[Segment], normalize: Callable[[str], str]
) -> list[PlacedWord]:
    """The normalised words of timed segments."""
    placed: list[PlacedWord] = []
    for segment in segments:
        words = _WORD.findall(normalize(segment.text))
        each_s = (segment.end_s - segment.start_s) / max(len(words), 1)
        placed += [
            PlacedWord(
                word,
                segment.start_s + number * each_s,
                segment.start_s + (number + 1) * each_s,
                begins=number == 0,
                ends=number == len(words) - 1,
            )
            for number, word in enumerate(words)
        ]
    return placed


def find_loops(recording: str, written: Sequence[PlacedWord], reference: str) -> list[Stretch]:
    """Pieces of at most 40 words that are repeated four times or more in a row, and not so in the reference.

    `words` counts those after the first time.
    """
    words = [placed.word for placed in written]
    loops: list[Stretch] = []
    first = 0
    while first < len(words):
        length, piece = _longest_loop(words, first)
        text = " ".join(words[first : first + length])
        if len(text) < LOOP_CHARACTERS or text in reference:
            first += 1
            continue
        loops.append(_stretch(recording, written, first, first + length, words=length - piece))
        first += length
    return loops


def _longest_loop(words: Sequence[str], first: int) -> tuple[int, int]:
    """(words of the longest loop that begins at `first`, words of its piece); zeros where there is none."""
    longest = (0, 0)
    for piece in range(1, min(LONGEST_PIECE, (len(words) - first) // LOOP_REPEATS) + 1):
        length = piece
        while first + length < len(words) and words[first + length] == words[first + length - piece]:
            length += 1
        if length >= LOOP_REPEATS * piece and length > longest[0]:
            longest = length, piece
    return longest


def _aligned(said: Sequence[PlacedWord], heard: Sequence[PlacedWord]) -> tuple[list[tuple[int, int]], list[bool]]:
    """(pairs of places of the same word, whether each word of the reference is deleted)."""
    if not said:
        return [], []
    same: list[tuple[int, int]] = []
    deleted: list[bool] = []
    of_heard = 0
    for run in align_words(*(" ".join(placed.word for placed in side) for side in (said, heard))):
        if run.edit == "equal":
            same += zip(
                range(len(deleted), len(deleted) + len(run.reference)), range(of_heard, len(heard)), strict=False
            )
        deleted += [run.edit == "delete"] * len(run.reference)
        of_heard += len(run.hypothesis)
    return same, deleted


def _missing_stretches(recording: str, said: Sequence[PlacedWord], deleted: Sequence[bool]) -> list[Stretch]:
    places = [place for place, is_deleted in enumerate(deleted) if is_deleted]
    # an alignment may find an `and` of the next sentence within the gap
    breaks = [
        0,
        *(number for number, (place, following) in enumerate(pairwise(places), 1) if following - place > _BRIDGED + 1),
    ]
    runs = [places[begin:end] for begin, end in pairwise([*breaks, len(places)])]
    return [_stretch(recording, said, run[0], run[-1] + 1, words=len(run)) for run in runs if len(run) >= MISSING_WORDS]


def _stretch(recording: str, placed: Sequence[PlacedWord], first: int, stop: int, *, words: int) -> Stretch:
    before, text, after = (
        " ".join(word.word for word in part)
        for part in (
            placed[max(0, first - _WORDS_AROUND) : first],
            placed[first:stop],
            placed[stop : stop + _WORDS_AROUND],
        )
    )
    return Stretch(recording, placed[first].start_s, placed[stop - 1].end_s, words, before, text, after)
