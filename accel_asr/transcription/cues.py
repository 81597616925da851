"""Segments as cues of subtitles: of at most so many lines of at most so many columns, cut where a reader would pause.

A column is half as wide as a Chinese character: those of most scripts have one; Chinese, Japanese, Korean ones two.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate

from rich.cells import cell_len

from accel_asr.transcription.cue_pieces import Piece, line_text, pieces_of, units_of, whole
from accel_asr.transcription.phrase_breaks import AT_COMMA, AT_SENTENCE, break_penalty, ends_sentence
from accel_asr.transcription.segments import TimedText

# After the Netflix Timed Text Style Guide: 5/6 s to 7 s a cue, 20 characters a second
SHORTEST_S = 5 / 6
LONGEST_S = 7.0
COLUMNS_PER_S = 20.0
PAUSE_S = 1.0  # no cue goes on over a longer one
_SHORT_PAUSE_S = 0.4  # a good place to cut

_CUE_COST = 3.0
_LINE_COST = 1000.0  # no line more than are needed
_ORPHAN_COST = 10.0  # a word alone that is no sentence
_TOO_SHORT_COST = 6.0
_UNEVEN_COST = 10.0  # of a line that is empty where others are full
_AT_PAUSE = 1.0
_ORPHAN_SHARE = 0.25  # of a line


@dataclass(frozen=True, slots=True)
class Cue:
    """What a player shows from `start_s` to `end_s`: lines of pieces."""

    start_s: float
    end_s: float
    lines: tuple[tuple[Piece, ...], ...]

    @property
    def text(self) -> str:
        return "\n".join(map(line_text, self.lines))


@dataclass(frozen=True, slots=True)
class LineLimits:
    """At most `max_line_count` lines of `max_line_width` columns in a cue; Whisper's names."""

    max_line_width: int
    max_line_count: int = 2


def cues_of_segments(spoken: TimedText) -> list[Cue]:
    """One cue of one line for each segment."""
    return [
        Cue(segment.start_s, segment.end_s, (pieces_of(segment) if segment.words else (whole(segment),),))
        for segment in spoken.segments
    ]


def cues_within(spoken: TimedText, limits: LineLimits) -> list[Cue]:
    """A transcript as cues within the limits; each is shown as long as it takes to read, if there is time.

    Words without times, of segments that have none, share the time of their segment by their lengths.
    """
    return _Layout(spoken, limits).cues()


class _Layout:
    """The units that no cut parts, and what it costs to cut after each of them."""

    def __init__(self, spoken: TimedText, limits: LineLimits) -> None:
        self.limits, self.end_s = limits, spoken.duration_s
        self.units: list[tuple[Piece, ...]] = []
        self.cut_costs: list[float] = []  # after each unit
        self.ends_phrase: list[bool] = []  # sentence or segment
        for segment in spoken.segments:
            units = [*units_of(pieces_of(segment), limits.max_line_width)]
            for place, unit in enumerate(units):
                is_last = place == len(units) - 1
                after = "" if is_last else units[place + 1][0].text
                cost = break_penalty(line_text(unit), after, language=spoken.language)
                self.cut_costs.append(min(cost, AT_COMMA) if is_last else cost)
                self.ends_phrase.append(is_last or ends_sentence(line_text(unit)))
            self.units += units
        self.pauses_s = [
            after[0].start_s - unit[-1].end_s for unit, after in zip(self.units, self.units[1:], strict=False)
        ]
        for place, pause_s in enumerate(self.pauses_s):
            if pause_s >= _SHORT_PAUSE_S:
                self.cut_costs[place] = min(self.cut_costs[place], _AT_PAUSE)
        texts = [line_text(unit) for unit in self.units]
        self.gaps = [len(unit[0].gap) for unit in self.units]
        self.is_spaced = 2 * sum(self.gaps) > len(texts)
        self.ends = [0, *accumulate(gap + cell_len(text) for gap, text in zip(self.gaps, texts, strict=False))]
        self.reach = self._reach()

    def cues(self) -> list[Cue]:
        spans = cheapest_pieces(len(self.units), self._cue_cost)
        starts_s = [self.units[begin][0].start_s for begin, _ in spans]
        cues = []
        for (begin, end), next_s in zip(spans, [*starts_s[1:], math.inf], strict=True):
            start_s, end_s = self.units[begin][0].start_s, self.units[end - 1][-1].end_s
            wanted_s = max(SHORTEST_S, self._width(begin, end) / COLUMNS_PER_S)
            shown_s = max(end_s, min(start_s + wanted_s, max(self.end_s, end_s)))
            lines = tuple(
                tuple(piece for unit in self.units[first:last] for piece in unit)
                for first, last in self._lines(begin, end)
            )
            cues.append(Cue(start_s, round(min(shown_s, next_s), 3), lines))
        return cues

    def _width(self, begin: int, end: int) -> int:
        """Columns of these units in one line."""
        return self.ends[end] - self.ends[begin] - self.gaps[begin]

    def _reach(self) -> list[int]:
        """From each unit, the end of the last one that fits into the same cue."""
        line_ends, end = [], 0
        for begin in range(len(self.units)):
            end = max(end, begin + 1)
            while end < len(self.units) and self._width(begin, end + 1) <= self.limits.max_line_width:
                end += 1
            line_ends.append(end)
        reach = []
        for begin in range(len(self.units)):
            end = begin
            for _ in range(self.limits.max_line_count):
                end = line_ends[end] if end < len(line_ends) else end
            reach.append(end)
        return reach

    def _cue_cost(self, begin: int, end: int) -> float | None:
        start_s, end_s = self.units[begin][0].start_s, self.units[end - 1][-1].end_s
        if end > begin + 1 and (
            end > self.reach[begin] or end_s - start_s > LONGEST_S or self.pauses_s[end - 2] > PAUSE_S
        ):
            return None
        next_s = self.units[end][0].start_s if end < len(self.units) else max(self.end_s, end_s)
        short_of_s = max(0.0, SHORTEST_S - (next_s - start_s))
        cost = _CUE_COST + self.cut_costs[end - 1] + _TOO_SHORT_COST * short_of_s / SHORTEST_S
        is_whole = self.ends_phrase[end - 1] and (begin == 0 or self.ends_phrase[begin - 1])
        return cost + (0.0 if is_whole else self._orphan_cost(begin, end))

    def _lines(self, begin: int, end: int) -> list[tuple[int, int]]:
        """The units of a cue in lines, as few as hold them, of lengths that are alike."""
        whole = self._width(begin, end)
        if whole <= self.limits.max_line_width:
            return [(begin, end)]
        fair = whole / math.ceil(whole / self.limits.max_line_width)

        def cost(first: int, last: int) -> float | None:
            first, last = first + begin, last + begin
            width = self._width(first, last)
            if width > self.limits.max_line_width and last > first + 1:
                return None
            uneven = _UNEVEN_COST * ((width - fair) / self.limits.max_line_width) ** 2
            cut = self.cut_costs[last - 1] if last < end else AT_SENTENCE
            return _LINE_COST + cut + uneven + self._orphan_cost(first, last)

        return [(first + begin, last + begin) for first, last in cheapest_pieces(end - begin, cost)]

    def _orphan_cost(self, begin: int, end: int) -> float:
        is_short = self._width(begin, end) < _ORPHAN_SHARE * self.limits.max_line_width
        return _ORPHAN_COST if is_short or (self.is_spaced and end == begin + 1) else 0.0


def cheapest_pieces(count: int, cost: Callable[[int, int], float | None]) -> list[tuple[int, int]]:
    """Cut `count` things in a row into the pieces, each (begin, end), whose costs have the smallest sum.

    Args:
        cost: Of a piece; None where it is too long, as then are all longer ones from there. One thing never is.
    """
    best = [0.0] + [math.inf] * count
    begin_of = [0] * (count + 1)
    for begin in range(count):
        for end in range(begin + 1, count + 1):
            price = cost(begin, end)
            if price is None:
                break
            if best[begin] + price < best[end]:
                best[end], begin_of[end] = best[begin] + price, begin
    pieces = []
    end = count
    while end:
        pieces.append((begin_of[end], end))
        end = begin_of[end]
    return pieces[::-1]
