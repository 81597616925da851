"""What a run trains and validates on, and its summary."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from accel_asr.data.labels import LabelEncoder
from accel_asr.data.loading.no_speech_rows import NoSpeechRows
from accel_asr.data.order.packing import Packing
from accel_asr.data.order.stitching import Stitching
from accel_asr.data.selection.preparation import hours, label_lengths
from accel_asr.data.selection.utterances import Utterances
from accel_asr.data.streaming.streams import Stream


@dataclass(frozen=True)
class RunData:
    """`weights` are those of the sources in `train`, None to use every row once; `summary` is data_summary.json.

    With a streamed source, `train` is empty and `stream` is trained on. `packing` says which training rows may share a
    window, None where none do. `no_speech` are rows that follow those of `train`; `weights` has theirs as the last.
    """

    train: Utterances
    validation: Utterances
    weights: tuple[float, ...] | None
    summary: dict[str, Any]
    notices: list[str]
    stream: Stream | None = None
    packing: Packing | Stitching | None = None
    no_speech: NoSpeechRows | None = None

    def rows_of_parts(self) -> tuple[int, ...]:
        """How many rows each part of `train` has, and `no_speech` as the last part."""
        return (*self.train.part_sizes(), *([len(self.no_speech)] if self.no_speech else []))

    def durations_s(self) -> np.ndarray:
        """Seconds of each training row, float64, shape (rows,)."""
        of_utterances = self.train.durations_s()
        return np.concatenate([of_utterances, self.no_speech.durations_s]) if self.no_speech else of_utterances


def summary_of(utterances: Utterances, encoder: LabelEncoder) -> dict[str, Any]:
    """Counts, hours and extremes, for data_summary.json."""
    durations_s = utterances.durations_s()
    lengths = utterances.numbers(lambda part: label_lengths(part, encoder))
    return {
        "utterances": len(utterances),
        "hours": round(hours(utterances), 4),
        "shortest_s": round(float(np.min(durations_s)), 3),
        "longest_s": round(float(np.max(durations_s)), 3),
        "longest_label_tokens": int(np.max(lengths)),
    }
