"""What a run trains and validates on, and its summary."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from accel_asr.data.labels import LabelEncoder
from accel_asr.data.order.packing import Packing
from accel_asr.data.selection.preparation import hours, label_lengths
from accel_asr.data.selection.utterances import Utterances
from accel_asr.data.streaming.streams import Stream


@dataclass(frozen=True)
class RunData:
    """`weights` are those of the sources in `train`, None to use every row once; `summary` is data_summary.json.

    With a streamed source, `train` is empty and `stream` is trained on. `packing` says which training utterances may
    share a window, None where none do.
    """

    train: Utterances
    validation: Utterances
    weights: tuple[float, ...] | None
    summary: dict[str, Any]
    notices: list[str]
    stream: Stream | None = None
    packing: Packing | None = None


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
