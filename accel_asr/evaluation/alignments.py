"""Which words became which: alignments by jiwer, and the most frequent confusions."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import jiwer

from accel_asr.evaluation.scoring import ScoredUtterance

Edit = Literal["equal", "substitute", "delete", "insert"]


@dataclass(frozen=True)
class AlignedWords:
    """A run of words under one kind of edit. A substitution has equally many on both sides."""

    edit: Edit
    reference: tuple[str, ...]
    hypothesis: tuple[str, ...]


@dataclass(frozen=True)
class Confusion:
    """A word replaced by another, deleted (`hypothesis` empty) or inserted (`reference` empty), and how often."""

    reference: str
    hypothesis: str
    count: int


def align_words(reference: str, hypothesis: str) -> list[AlignedWords]:
    """The edits that turn the reference into the hypothesis, in order; words are split at white space."""
    before, after = reference.split(), hypothesis.split()
    return [
        AlignedWords(
            chunk.type,
            tuple(before[chunk.ref_start_idx : chunk.ref_end_idx]),
            tuple(after[chunk.hyp_start_idx : chunk.hyp_end_idx]),
        )
        for chunk in jiwer.process_words(" ".join(before), " ".join(after)).alignments[0]
    ]


def confusions(scored: Iterable[ScoredUtterance], *, most: int = 20) -> list[Confusion]:
    """The most frequent errors in normalised words, by count and then alphabetically."""
    counts: Counter[tuple[str, str]] = Counter()
    for utterance in scored:
        if utterance.words is None or not utterance.words.errors:
            continue
        for run in align_words(utterance.reference_normalized, utterance.hypothesis_normalized):
            if run.edit == "substitute":
                counts.update(zip(run.reference, run.hypothesis, strict=True))
            elif run.edit == "delete":
                counts.update((word, "") for word in run.reference)
            elif run.edit == "insert":
                counts.update(("", word) for word in run.hypothesis)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [Confusion(reference, hypothesis, count) for (reference, hypothesis), count in ordered[:most]]
