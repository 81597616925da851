"""Utterances whose errors go together, such as those of one speaker: intervals resample them whole.

Field and Welsh, "Bootstrapping clustered data" (2007): utterances of one block are not independent, so an interval that
resamples them one by one is too narrow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from accel_asr.console.printing import percent
from accel_asr.evaluation.scoring import ScoredUtterance

FEW = 10  # with fewer blocks, the spread between them is hardly known


@dataclass(frozen=True)
class Blocks:
    """The blocks of some utterances. An utterance without one is a block of its own.

    Args:
        count: Known blocks.
        column: What they are the values of, such as `speaker_id`, or `recording`.
        numbers: The block of each utterance, from 0 on, shape (utterances,).
    """

    count: int
    column: str
    numbers: np.ndarray

    @cached_property
    def total(self) -> int:
        """With the blocks of single utterances."""
        return int(self.numbers.max()) + 1

    def sums(self, of_utterances: np.ndarray) -> np.ndarray:
        """The sums of each block, shape (total, columns), of numbers of shape (utterances, columns)."""
        sums = np.zeros((self.total, of_utterances.shape[1]))
        np.add.at(sums, self.numbers, of_utterances)
        return sums


def blocks_of(scored: Sequence[ScoredUtterance]) -> Blocks | None:
    """The blocks of these utterances; None where fewer than two are known, or none has two utterances."""
    numbers: dict[tuple[str, int | str], int] = {}
    names = []
    for place, utterance in enumerate(scored):
        block = utterance.transcript.block
        names.append(("", place) if block is None else (utterance.transcript.block_column or "", block))
    for name in names:
        numbers.setdefault(name, len(numbers))
    known = sum(isinstance(block, str) for _, block in numbers)
    if known < 2 or len(numbers) == len(scored):
        return None
    columns = sorted({column for column, block in numbers if isinstance(block, str)})
    return Blocks(known, " or ".join(columns), np.array([numbers[name] for name in names]))


def blocks_in_words(record: Mapping[str, Any]) -> str | None:
    """What the intervals of an evaluation's record resample, beside the one by utterance; None without blocks."""
    if "blocks" not in record:
        return None
    count, column = record["blocks"]["count"], record["blocks"]["column"]
    low, high = map(percent, record["wer_interval_by_utterance"])
    sentence = (
        f"Intervals resample the {count:,} values of {column} whole. By utterance, that of the WER would be {low} to "
        f"{high}: too narrow, as errors of one {column} go together."
    )
    if count < FEW:
        sentence += f" With fewer than {FEW} values, even the wider ones are rough, and mostly too narrow."
    return sentence
