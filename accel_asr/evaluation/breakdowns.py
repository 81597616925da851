"""Scores of parts of the data: by language, by source, by any column that was kept, by duration."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from accel_asr.evaluation.intervals import Interval, rate_intervals
from accel_asr.evaluation.scoring import CorpusScore, ScoredUtterance, corpus_score

DURATION_BOUNDS_S = (1, 2, 4, 8, 15, 30)
OWN = ("language", "source", "duration")
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

    A kept column that is called as one of OWN has its scores under `column language` and so on, unless it has the same
    parts.

    Args:
        columns: `language`, `source`, or of those kept with the transcripts; None is all of them.
    """
    kept = dict.fromkeys(name for utterance in scored for name in utterance.transcript.columns)
    wanted = ["language", "source", *kept] if columns is None else list(columns)
    parts = {}
    for column in dict.fromkeys(wanted):
        if column in ("language", "source"):
            parts[column] = _parts(scored, lambda utterance, column=column: own_value(utterance, column))  # type: ignore[misc]
    for column in dict.fromkeys(wanted):
        if column in kept:
            found = _parts(scored, lambda utterance, column=column: cell_of(utterance, column))  # type: ignore[misc]
            if column not in OWN:
                parts[column] = found
            elif _sizes(found) != _sizes(parts.get(column, ())):
                parts[f"column {column}"] = found
    parts["duration"] = _parts(scored, duration_bucket, order=_duration_order)
    return {column: found for column, found in parts.items() if len(found) > 1}


def own_value(utterance: ScoredUtterance, name: str) -> str:
    """The `language` or `source` that the row was read with, `unset` where it has none."""
    return getattr(utterance.transcript, name) or UNSET


def cell_of(utterance: ScoredUtterance, column: str) -> str:
    """The utterance's cell of a column that was kept, `unset` where it has none."""
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
    pieces = [piece for piece in re.split(r"(\d+)", value) if piece]
    told = [
        # by the number of digits first: int() refuses more than some thousands of them
        (True, len(piece.lstrip("0")), piece.lstrip("0")) if piece.isdecimal() else (False, 0, piece)
        for piece in pieces
    ]
    return [(value == UNSET, 0, ""), *told]


def _sizes(parts: Sequence[PartScore]) -> list[tuple[str, int]]:
    return [(part.value, part.score.utterances) for part in parts]


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
