"""Scores of parts of the data: by language, by source, by any kept column, by duration."""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from accel_asr.evaluation.intervals import Difference, Interval, paired_difference, rate_intervals
from accel_asr.evaluation.many_comparisons import corrected_verdicts, resamples_for
from accel_asr.evaluation.scoring import CorpusScore, ScoredUtterance, corpus_score, grouped

DURATION_BOUNDS_S = (1, 2, 4, 8, 15, 30)
OWN = ("language", "source", "duration")
UNSET = "unset"
ENOUGH_UTTERANCES = 20  # of a part: the worst of many small ones is the worst by chance


@dataclass(frozen=True)
class PartScore:
    """The utterances with one value, and the interval of their WER."""

    value: str
    score: CorpusScore
    interval: Interval
    scored: Sequence[ScoredUtterance] = field(default=(), repr=False)


def breakdowns(
    scored: Sequence[ScoredUtterance], *, columns: Iterable[str] | None = None
) -> dict[str, list[PartScore]]:
    """Scores by duration, and by each of `columns` in which the utterances differ.

    A kept column with the name of one of OWN appears as `column language` and so on, unless it has the same parts.

    Args:
        columns: `language`, `source`, or columns kept with the transcripts; None is all of them.
    """
    kept = dict.fromkeys(name for utterance in scored for name in utterance.transcript.columns)
    wanted = dict.fromkeys(["language", "source", *kept] if columns is None else columns)
    parts = {name: _parts(scored, _getter(own_value, name)) for name in wanted if name in ("language", "source")}
    for column in wanted:
        if column in kept:
            by_cell = _parts(scored, _getter(cell_of, column))
            if column not in OWN:
                parts[column] = by_cell
            elif _sizes(by_cell) != _sizes(parts.get(column, ())):
                parts[f"column {column}"] = by_cell
    parts["duration"] = _parts(scored, duration_bucket, order=lambda bucket: int(bucket.split(maxsplit=1)[0]))
    return {column: by_value for column, by_value in parts.items() if len(by_value) > 1}


def worst_part(parts: Sequence[PartScore], *, least: int = ENOUGH_UTTERANCES) -> PartScore | None:
    """The one with the highest WER of those with at least so many utterances; None if there are not two of them."""
    able = [part for part in parts if part.score.utterances >= least and math.isfinite(part.score.wer)]
    return max(able, key=lambda part: part.score.wer) if len(able) > 1 else None


def part_verdicts(now: Sequence[PartScore], before: Sequence[PartScore]) -> dict[str, str]:
    """Whether each part of the same utterances is better than before, corrected for the number of parts.

    Parts of other utterances than before are left out.
    """
    befores = {part.value: part.scored for part in before}
    pairs = {
        part.value: (part.scored, befores[part.value])
        for part in now
        if part.scored and _ids(part.scored) == _ids(befores.get(part.value, ()))
    }
    resamples = resamples_for(len(pairs))
    differences: list[Difference] = [
        paired_difference(after, earlier, resamples=resamples) for after, earlier in pairs.values()
    ]
    return dict(zip(pairs, corrected_verdicts(differences), strict=True))


def _ids(scored: Sequence[ScoredUtterance]) -> list[str]:
    return [utterance.transcript.utterance_id for utterance in scored]


def own_value(utterance: ScoredUtterance, name: str) -> str:
    """The row's own `language` or `source`, `unset` where it has none."""
    return getattr(utterance.transcript, name) or UNSET


def cell_of(utterance: ScoredUtterance, column: str) -> str:
    """The row's cell in a kept column, `unset` where it has none."""
    return utterance.transcript.columns.get(column) or UNSET


def duration_bucket(utterance: ScoredUtterance) -> str:
    """`2 to 4 s`: at least the first and shorter than the second."""
    lower = 0
    for bound in DURATION_BOUNDS_S:
        if utterance.transcript.duration_s < bound:
            return f"{lower} to {bound} s"
        lower = bound
    return f"{lower} s and more"


def _getter(value_of: Callable[[ScoredUtterance, str], str], name: str) -> Callable[[ScoredUtterance], str]:
    return lambda utterance: value_of(utterance, name)


def _natural_order(value: str) -> list[tuple[bool, int, str]]:
    """`speaker 2` before `speaker 10`, and `unset` last."""
    pieces = [piece for piece in re.split(r"(\d+)", value) if piece]
    keys = [
        # by the number of digits first: int() refuses more than some thousands of them
        (True, len(piece.lstrip("0")), piece.lstrip("0")) if piece.isdecimal() else (False, 0, piece)
        for piece in pieces
    ]
    return [(value == UNSET, 0, ""), *keys]


def _sizes(parts: Sequence[PartScore]) -> list[tuple[str, int]]:
    return [(part.value, part.score.utterances) for part in parts]


def _parts(
    scored: Sequence[ScoredUtterance],
    value_of: Callable[[ScoredUtterance], str],
    *,
    order: Callable[[str], Any] = _natural_order,
) -> list[PartScore]:
    by_value = grouped(scored, value_of)
    return [
        PartScore(value, corpus_score(by_value[value]), rate_intervals(by_value[value])["wer"], by_value[value])
        for value in sorted(by_value, key=order)
    ]
