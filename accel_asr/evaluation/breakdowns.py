"""Scores of parts of the data: by language, by source, by any column that was kept, by duration."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from accel_asr.evaluation.intervals import Interval, rate_intervals
from accel_asr.evaluation.scoring import CorpusScore, ScoredUtterance, corpus_score

DURATION_BOUNDS_S = (1, 2, 4, 8, 15, 30)
UNSET = "unset"


@dataclass(frozen=True)
class PartScore:
    """The utterances of one value. `interval` is the WER's."""

    value: str
    score: CorpusScore
    interval: Interval


def breakdowns(
    scored: Sequence[ScoredUtterance], *, columns: Iterable[str] | None = None
) -> dict[str, list[PartScore]]:
    """Scores by duration, and by each of `columns` in which the utterances differ.

    Args:
        columns: `language`, `source`, or of those kept with the transcripts; None is all of them.
    """
    if columns is None:
        kept = dict.fromkeys(name for utterance in scored for name in utterance.transcript.columns)
        columns = ["language", "source", *kept]
    parts = {}
    for column in columns:
        found = _parts(scored, lambda utterance, column=column: column_of(utterance, column))  # type: ignore[misc]
        if len(found) > 1:
            parts[column] = found
    by_duration = _parts(scored, duration_bucket, order=_duration_order)
    if len(by_duration) > 1:
        parts["duration"] = by_duration
    return parts


def column_of(utterance: ScoredUtterance, column: str) -> str:
    """The utterance's cell, `unset` where it has none."""
    if column in ("language", "source"):
        return getattr(utterance.transcript, column) or UNSET
    return utterance.transcript.columns.get(column) or UNSET


def duration_bucket(utterance: ScoredUtterance) -> str:
    """`2 to 4 s`: from the first on, and shorter than the second."""
    lower = 0
    for bound in DURATION_BOUNDS_S:
        if utterance.transcript.duration_s < bound:
            return f"{lower} to {bound} s"
        lower = bound
    return f"{lower} s and more"


def _natural_order(value: str) -> list[tuple[bool, int, str]]:
    """`speaker 2` before `speaker 10`, and what is unset last."""
    pieces = re.split(r"(\d+)", value)
    told = [(piece.isdecimal(), int(piece) if piece.isdecimal() else 0, piece) for piece in pieces if piece]
    return [(value == UNSET, 0, ""), *told]


def _duration_order(bucket: str) -> int:
    return int(bucket.split(maxsplit=1)[0])


def _parts(
    scored: Sequence[ScoredUtterance],
    value_of: Callable[[ScoredUtterance], str],
    *,
    order: Callable[[str], Any] | None = None,
) -> list[PartScore]:
    by_value: dict[str, list[ScoredUtterance]] = {}
    for utterance in scored:
        by_value.setdefault(value_of(utterance), []).append(utterance)
    return [
        PartScore(value, corpus_score(by_value[value]), rate_intervals(by_value[value])["wer"])
        for value in sorted(by_value, key=order or _natural_order)
    ]
