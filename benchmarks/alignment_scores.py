"""How good an alignment is: times beside true ones, and how much of the text came through.

Texts are compared in pieces, runs of letters and digits in lower case, so that it does not matter where two aligners
split words and to which one they give punctuation.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

import numpy as np

from accel_asr.evaluation.scoring import character_edits, word_edits
from accel_asr.transcription.segments import Segment

_PIECE = re.compile(r"[^\W_]+")
HEARD = 0.3  # rows whose own transcription has a lower error rate hold what their text says


@dataclass(frozen=True)
class Truth:
    """What is known of a recording.

    Args:
        text: The transcript that the aligners get.
        spoken: Parts of the text with their exact times; empty where no times are known.
        strange: Speech that is not in the text.
        unspoken: Parts of the text that are not in the recording.
    """

    text: str
    spoken: tuple[Segment, ...] = ()
    strange: tuple[Segment, ...] = ()
    unspoken: tuple[str, ...] = ()


def pieces(spans: Sequence[Segment]) -> list[Segment]:
    """The pieces of each span's text, with a part of its time in proportion to their letters."""
    found = []
    for span in spans:
        own = _PIECE.findall(span.text.casefold())
        letters = sum(map(len, own))
        before = 0
        for piece in own:
            times_s = [
                span.start_s + (span.end_s - span.start_s) * done / letters for done in (before, before + len(piece))
            ]
            found.append(Segment(*times_s, piece))
            before += len(piece)
    return found


def counterparts(text: str, heard: Sequence[Segment]) -> dict[int, Segment]:
    """By number of a piece of `text`: its counterpart among the pieces `heard`, in the order of both."""
    words = _PIECE.findall(text.casefold())
    matcher = SequenceMatcher(None, words, [piece.text for piece in heard], autojunk=False)
    return {
        block.a + offset: heard[block.b + offset]
        for block in matcher.get_matching_blocks()
        for offset in range(block.size)
    }


@dataclass(frozen=True)
class BoundaryErrors:
    """Seconds from the true boundary, positive where late. `missing` boundaries have no counterpart."""

    starts_s: np.ndarray  # (found starts,)
    ends_s: np.ndarray  # (found ends,)
    missing: int

    @property
    def all_s(self) -> np.ndarray:
        """Without sign, shape (found starts + found ends,)."""
        return np.abs(np.concatenate([self.starts_s, self.ends_s]))

    def line(self) -> str:
        """Median and 95th percentile of all, of the starts and of the ends."""
        shown = []
        for name, errors_s in (("all", self.all_s), ("starts", self.starts_s), ("ends", self.ends_s)):
            if len(errors_s):
                late_s = "" if name == "all" else f", median {np.median(errors_s):+.3f} late"
                median_s, p95_s = np.quantile(np.abs(errors_s), [0.5, 0.95])
                shown.append(f"{name} of {len(errors_s)}: median {median_s:.3f} s, 95% {p95_s:.3f} s{late_s}")
        return f"{'; '.join(shown)}; {self.missing} without counterpart"


def word_boundary_errors(truth: Truth, words: Sequence[Segment]) -> BoundaryErrors:
    """Of the first and the last piece of each spoken part."""
    return _boundary_errors(truth, counterparts(truth.text, pieces(words)), firsts=None, lasts=None)


def row_boundary_errors(truth: Truth, rows: Sequence[Segment]) -> BoundaryErrors:
    """Of the rows that begin where a spoken part begins, and of those that end where one ends."""
    firsts, lasts = set(), set()
    for row in rows:
        own = pieces([row])
        firsts.add(own[0].start_s)
        lasts.add(own[-1].end_s)
    return _boundary_errors(truth, counterparts(truth.text, pieces(rows)), firsts=firsts, lasts=lasts)


def _boundary_errors(
    truth: Truth, found: dict[int, Segment], *, firsts: set[float] | None, lasts: set[float] | None
) -> BoundaryErrors:
    """`firsts` and `lasts` are the times that count; None counts all, and those that are missing."""
    starts_s, ends_s, missing = [], [], 0
    for span, (first, last) in zip(truth.spoken, _places(truth), strict=True):
        begin, end = found.get(first), found.get(last)
        if begin is not None and (firsts is None or begin.start_s in firsts):
            starts_s.append(begin.start_s - span.start_s)
        if end is not None and (lasts is None or end.end_s in lasts):
            ends_s.append(end.end_s - span.end_s)
        missing += (begin is None) + (end is None)
    return BoundaryErrors(np.array(starts_s), np.array(ends_s), missing)


def _places(truth: Truth) -> list[tuple[int, int]]:
    """Numbers of the first and the last piece of each spoken part in the text, which has them in this order."""
    found = counterparts(truth.text, [Segment(number, number, p.text) for number, p in enumerate(pieces(truth.spoken))])
    in_text = {int(span.start_s): number for number, span in found.items()}
    places, before = [], 0
    for span in truth.spoken:
        count = len(_PIECE.findall(span.text.casefold()))
        places.append((in_text[before], in_text[before + count - 1]))
        before += count
    return places


@dataclass(frozen=True)
class Coverage:
    """Shares as fractions.

    Args:
        in_rows: Pieces of the text in rows.
        heard: Pieces of the text in rows whose own transcription has a WER below 30%; None if rows were not
            transcribed.
        spelt: The same with a CER below 30%, which also holds where the model misspells a language it hardly knows.
        strange_s, strange_in_rows_s: Seconds of speech that is not in the text, and how much of it is within rows.
        unspoken, unspoken_in_rows: Pieces of the text that are not spoken, and how many of them are in rows.
    """

    in_rows: float
    heard: float | None
    spelt: float | None
    strange_s: float = 0.0
    strange_in_rows_s: float = 0.0
    unspoken: int = 0
    unspoken_in_rows: int = 0
    bad_rows: tuple[tuple[Segment, float, float], ...] = field(default=(), repr=False)  # with their WER and CER

    def line(self) -> str:
        """The shares, and what is left of what should be left out."""
        shown = f"{100 * self.in_rows:.2f}% of words in rows"
        if self.heard is not None and self.spelt is not None:
            shown += (
                f", {100 * self.heard:.2f}% in rows with a WER below 30%, {100 * self.spelt:.2f}% with a CER below 30%"
            )
        if self.strange_s:
            shown += f"; of {self.strange_s:.1f} s of other speech {self.strange_in_rows_s:.1f} s within rows"
        if self.unspoken:
            shown += f"; of {self.unspoken} unspoken words {self.unspoken_in_rows} in rows"
        return shown


def coverage(
    truth: Truth,
    rows: Sequence[Segment],
    transcripts: Sequence[str] | None,
    *,
    normalize: Callable[[str], str],
) -> Coverage:
    """Shares of the text.

    Args:
        transcripts: What a model heard in each row, cut out; None if it was not asked.
        normalize: Before words are compared.
    """
    rates: list[tuple[float, float]] = []
    if transcripts is not None:
        rates = [error_rates(row.text, heard, normalize) for row, heard in zip(rows, transcripts, strict=True)]
    # a piece of a row stands for it by the row's number as its time
    numbered = [Segment(number, number, row.text) for number, row in enumerate(rows)]
    row_of = {place: int(span.start_s) for place, span in counterparts(truth.text, pieces(numbered)).items()}
    total = len(_PIECE.findall(truth.text.casefold()))
    unspoken = unspoken_places(truth)
    return Coverage(
        in_rows=len(row_of) / total,
        heard=sum(rates[row][0] < HEARD for row in row_of.values()) / total if rates else None,
        spelt=sum(rates[row][1] < HEARD for row in row_of.values()) / total if rates else None,
        strange_s=sum(span.end_s - span.start_s for span in truth.strange),
        strange_in_rows_s=sum(shared_s(span, row) for span in truth.strange for row in rows),
        unspoken=len(unspoken),
        unspoken_in_rows=len(unspoken & row_of.keys()),
        bad_rows=tuple((row, *both) for row, both in zip(rows, rates, strict=bool(rates)) if both[0] >= HEARD),
    )


def error_rates(reference: str, heard: str, normalize: Callable[[str], str]) -> tuple[float, float]:
    """Of words and of characters; infinite for a reference without words."""
    texts = normalize(reference), normalize(heard)
    counts = word_edits(*texts), character_edits(*texts)
    words, characters = (count.errors / count.reference_length if count else float("inf") for count in counts)
    return words, characters


def shared_s(span: Segment, other: Segment) -> float:
    """Seconds that both have."""
    return max(0.0, min(span.end_s, other.end_s) - max(span.start_s, other.start_s))


def unspoken_places(truth: Truth) -> set[int]:
    """Numbers of the pieces of the text that are not spoken."""
    words = _PIECE.findall(truth.text.casefold())
    places: set[int] = set()
    after = 0
    for part in truth.unspoken:
        own = _PIECE.findall(part.casefold())
        after = next(at for at in range(after, len(words)) if words[at : at + len(own)] == own)
        places.update(range(after, after + len(own)))
        after += len(own)
    return places


def speech_beside_the_text(text: str, heard: Sequence[Segment], *, fewest: int = 3) -> list[Segment]:
    """Runs of at least `fewest` words that a model heard and that have no counterpart in the text: what may be strange.

    Args:
        heard: A transcript with times.
    """
    said = pieces(heard)
    matched = {id(piece) for piece in counterparts(text, said).values()}
    runs: list[list[Segment]] = [[]]
    for piece in said:
        if id(piece) in matched:
            runs.append([])
        else:
            runs[-1].append(piece)
    return [
        Segment(run[0].start_s, run[-1].end_s, " ".join(piece.text for piece in run))
        for run in runs
        if len(run) >= fewest
    ]
