"""Transcripts as rows to train on: pieces of a recording no longer than the window, their scores, and which to keep."""

import math
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jiwer
from transformers.models.whisper.english_normalizer import BasicTextNormalizer

from accel_asr.model.written_tokens import UNSPACED
from accel_asr.transcription.segments import TimedText, joined

LONGEST_PAUSE_S = 2.0  # between two segments of one row: a longer one is no use to train on
_WORD = re.compile(rf"[{UNSPACED}]|[^\s{UNSPACED}]+")
_DIGITS = 4


@dataclass(frozen=True)
class TranscribedRow:
    """A piece of a recording and what the model wrote for it; `previous_text` is that of the row before, if any."""

    start_s: float
    end_s: float
    text: str
    language: str | None = None
    previous_text: str = ""


@dataclass(frozen=True)
class RowFilters:
    """Which rows are kept; None switches a filter off.

    Args:
        max_disagreement: Highest word error rate of the second model's transcript against the first's.
        max_no_speech_prob: Highest probability that nobody speaks.
        max_compression_ratio: Highest ratio by which zlib shrinks the text: loops compress well.
        min_avg_logprob: Lowest mean log-probability of a token, in nats.
    """

    max_disagreement: float | None = 0.3
    max_no_speech_prob: float | None = 0.6
    max_compression_ratio: float | None = 2.4
    min_avg_logprob: float | None = -1.0

    def why_left_out(self, scores: "RowScores") -> str | None:
        """The first reason against a row; None for one that is kept."""
        limits = (
            ("probably no speech", scores.no_speech_prob, self.max_no_speech_prob, 1),
            ("the text repeats itself", scores.compression_ratio, self.max_compression_ratio, 1),
            ("an improbable text", scores.avg_logprob, self.min_avg_logprob, -1),
            ("the two models disagree", scores.disagreement, self.max_disagreement, 1),
        )
        for reason, value, limit, sign in limits:
            if value is not None and limit is not None and sign * value > sign * limit:
                return reason
        return None


@dataclass(frozen=True)
class RowScores:
    """What speaks for and against a row; None where it is not known.

    Args:
        disagreement: Word error rate of `second_text`, what another model wrote, against the row's text.
    """

    avg_logprob: float | None = None
    no_speech_prob: float | None = None
    compression_ratio: float | None = None
    disagreement: float | None = None
    second_text: str | None = None

    def to_json(self) -> dict[str, Any]:
        known = {name: value for name, value in vars(self).items() if value is not None}
        return {name: round(value, _DIGITS) if isinstance(value, float) else value for name, value in known.items()}


def rows_of_transcript(spoken: TimedText, *, longest_s: float) -> list[TranscribedRow]:
    """A recording no longer than `longest_s` as one row; a longer one as runs of its segments, each as long as fits.

    A run also ends at a pause of more than 2 s. A segment that is longer by itself is a row that is too long.
    """
    if spoken.duration_s <= longest_s:
        end_s = math.floor(1000 * spoken.duration_s) / 1000
        return [TranscribedRow(0.0, end_s, joined([spoken.text]), spoken.language)]
    runs: list[list[int]] = []
    for number, segment in enumerate(spoken.segments):
        run = runs[-1] if runs else []
        first, last = (spoken.segments[run[0]], spoken.segments[run[-1]]) if run else (segment, segment)
        if run and segment.end_s - first.start_s <= longest_s and segment.start_s - last.end_s <= LONGEST_PAUSE_S:
            run.append(number)
        else:
            runs.append([number])
    rows: list[TranscribedRow] = []
    for run in runs:
        parts = [spoken.segments[number] for number in run]
        text = joined([part.text for part in parts])
        before = rows[-1].text if rows else ""
        rows.append(TranscribedRow(parts[0].start_s, parts[-1].end_s, text, spoken.language, before))
    return rows


def compression_ratio(text: str) -> float:
    """How much shorter zlib makes a text: Whisper's measure; above 2.4 it repeats itself."""
    content = text.encode()
    return len(content) / len(zlib.compress(content)) if content else 0.0


def disagreement(text: str, other: str) -> float:
    """Word error rate of `other` against `text`, without case and punctuation; by characters in unspaced scripts."""
    normalize = BasicTextNormalizer()
    first, second = (" ".join(_WORD.findall(normalize(each))) for each in (text, other))
    if not first:
        return 1.0 if second else 0.0
    return float(jiwer.process_words(first, second).wer)


def summary(rows: Sequence[dict[str, Any]], left_out: Sequence[dict[str, Any]]) -> str:
    """`kept 9 of 12 rows, 4.1 of 5.0 minutes; left out 2 (an improbable text), 1 (no text)`."""
    minutes, all_minutes = (sum(row["end"] - row["start"] for row in some) / 60 for some in (rows, [*rows, *left_out]))
    reasons: dict[str, int] = {}
    for row in left_out:
        reasons[row["reason"]] = reasons.get(row["reason"], 0) + 1
    counts = ", ".join(f"{count:,} ({reason})" for reason, count in sorted(reasons.items(), key=lambda of: -of[1]))
    total = len(rows) + len(left_out)
    return (
        f"kept {len(rows):,} of {total:,} rows, {minutes:.1f} of {all_minutes:.1f} minutes; left out {counts or 'none'}"
    )
