"""The words of cues, and which of them may not be cut off from the one before."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import regex
from rich.cells import cell_len

from accel_asr.model.written_tokens import UNSPACED
from accel_asr.transcription.segments import Segment, gap_between, split_words

# Closing marks, small kana, and marks that belong to the character before: none begins a line
_STAYS_WITH_LAST = regex.compile(
    r"[\p{Pe}\p{Pf}\p{Po}\p{Pd}\p{Mn}%\uff05\u3005\u303b\u30fc\u3041\u3043\u3045\u3047\u3049\u3063\u3083\u3085\u3087\u308e"
    r"\u30a1\u30a3\u30a5\u30a7\u30a9\u30c3\u30e3\u30e5\u30e7\u30ee]"
)
_STAYS_WITH_NEXT = regex.compile(r"[\p{Ps}\p{Pi}¿¡]$")
_UNSPACED_START = regex.compile(rf"[{UNSPACED}]")
_GRAPHEME = regex.compile(r"\X")


@dataclass(frozen=True, slots=True)
class Piece:
    """A word of a cue, or all of it.

    Args:
        gap: What stands before it in a line: a space or nothing.
        is_timed: Its times were found in the audio.
    """

    start_s: float
    end_s: float
    text: str
    gap: str = ""
    is_timed: bool = False


def line_text(pieces: Sequence[Piece]) -> str:
    """The text of one line."""
    return "".join(piece.gap + piece.text for piece in pieces).lstrip()


def whole(segment: Segment) -> Piece:
    """All of a segment, in one piece."""
    return Piece(segment.start_s, segment.end_s, segment.text)


def pieces_of(segment: Segment) -> tuple[Piece, ...]:
    """The words of a segment, with the spaces of its text."""
    pieces: list[Piece] = []
    place = 0
    for word in segment.words or _words_by_length(whole(segment), split_words(segment.text)):
        text = word.text.strip()
        found = segment.text.find(text, place)
        between = segment.text[place:found] if found >= 0 else "?"
        if between.strip():  # the text says it in another way
            gap = gap_between(pieces[-1].text, text) if pieces else ""
        else:
            gap, place = " " if between else "", found + len(text)
        pieces.append(Piece(word.start_s, word.end_s, text, gap, is_timed=bool(segment.words)))
    if pieces:  # words of the same recording, on one line
        pieces[0] = replace(pieces[0], gap="" if _UNSPACED_START.match(pieces[0].text) else " ")
    return tuple(pieces)


def _words_by_length(whole: Piece, texts: Sequence[str]) -> list[Piece]:
    """These texts, one after the other in the time of `whole`, each as long as its share of the columns."""
    ends = [*accumulate(map(cell_len, texts))]
    second = (whole.end_s - whole.start_s) / max(ends[-1:], default=1)
    times = [round(whole.start_s + second * end, 3) for end in (0, *ends)]
    return [Piece(*fields) for fields in zip(times, times[1:], texts, strict=False)]


def units_of(pieces: Sequence[Piece], max_width: int) -> Iterator[tuple[Piece, ...]]:
    """Words with the marks that may not be cut off from them, and words that are too long for a line in parts."""
    held: list[Piece] = []
    for piece in pieces:
        stays = held and (_STAYS_WITH_LAST.match(piece.text) or _STAYS_WITH_NEXT.search(held[-1].text))
        if held and not (stays and cell_len(line_text([*held, piece])) <= max_width):
            yield tuple(held)
            held = []
        *parts, last = _parts(piece, max_width)
        yield from ((part,) for part in parts)
        held.append(last)
    if held:
        yield tuple(held)


def _parts(piece: Piece, max_width: int) -> list[Piece]:
    """A word in parts that fit into a line, each with its share of the time."""
    if cell_len(piece.text) <= max_width:
        return [piece]
    texts = [""]
    for character in _GRAPHEME.findall(piece.text):
        if texts[-1] and cell_len(texts[-1] + character) > max_width:
            texts.append("")
        texts[-1] += character
    first, *others = _words_by_length(piece, texts)
    return [replace(first, gap=piece.gap, is_timed=piece.is_timed), *others]
