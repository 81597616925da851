"""Words and phrases that matter most, such as names and terms: how many are recognised."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from accel_asr.evaluation.alignments import align_words
from accel_asr.evaluation.blocks import blocks_of
from accel_asr.evaluation.intervals import ratio_intervals
from accel_asr.evaluation.scoring import ScoredUtterance

KEYWORD_COUNTS = ("occurrences", "hits", "false_alarms")
KEYWORD_RATES = ("recall", "precision", "error_rate")


def keyword_record(
    scored: Sequence[ScoredUtterance], keywords: Sequence[str], normalize: Callable[[str], str]
) -> dict[str, Any] | None:
    """How well the keywords were recognised, and each of them, those with the most errors first; None without keywords.

    They are the same for all utterances, and those that each has of its own.

    recall: Of the occurrences in the references, those that stand in the transcript at that place, by the alignment of
    the normalised words. precision: Of the occurrences in the transcripts, those that do. error_rate: Missed ones and
    false alarms / occurrences in the references. Occurrences that overlap count each.
    """
    own = dict.fromkeys(keyword for utterance in scored for keyword in utterance.transcript.keywords)
    phrases = {keyword: tuple(normalize(keyword).split()) for keyword in (*keywords, *own)}
    phrases = {keyword: phrase for keyword, phrase in phrases.items() if phrase}
    if not phrases:
        return None
    counts = np.zeros((len(scored), len(phrases), len(KEYWORD_COUNTS)))
    for row, utterance in enumerate(scored):
        wanted = {*keywords, *utterance.transcript.keywords}  # a row's own are looked for in that row alone
        places = [place for place, keyword in enumerate(phrases) if keyword in wanted]
        if places:
            counts[row, places] = _counts(
                utterance, [phrase for keyword, phrase in phrases.items() if keyword in wanted]
            )
    intervals = ratio_intervals(_ratios(counts.sum(axis=1)), blocks=blocks_of(scored))
    of_each = zip(phrases, counts.sum(axis=0), strict=True)
    by_keyword = {keyword: _rates(of_keyword) for keyword, of_keyword in of_each}
    by_errors = sorted(by_keyword.items(), key=lambda item: (-_errors(item[1]), item[0]))
    return {
        **_rates(counts.sum(axis=(0, 1))),
        **{f"{rate}_interval": list(interval) for rate, interval in zip(KEYWORD_RATES, intervals, strict=True)},
        "by_keyword": dict(by_errors),
    }


def _counts(utterance: ScoredUtterance, phrases: Sequence[tuple[str, ...]]) -> list[tuple[int, int, int]]:
    """(occurrences, hits, false alarms) of each phrase."""
    reference, hypothesis = utterance.reference_normalized.split(), utterance.hypothesis_normalized.split()
    place: dict[int, int] = {}  # in the hypothesis, of each word of the reference that was recognised
    before = after = 0
    for run in align_words(utterance.reference_normalized, utterance.hypothesis_normalized):
        if run.edit == "equal":
            place |= {before + offset: after + offset for offset in range(len(run.reference))}
        before, after = before + len(run.reference), after + len(run.hypothesis)
    counts = []
    for phrase in phrases:
        starts = _starts(reference, phrase)
        hits = sum(
            start in place and all(place.get(start + n) == place[start] + n for n in range(len(phrase)))
            for start in starts
        )
        counts.append((len(starts), hits, len(_starts(hypothesis, phrase)) - hits))
    return counts


def _starts(words: Sequence[str], phrase: tuple[str, ...]) -> list[int]:
    return [start for start in range(len(words)) if tuple(words[start : start + len(phrase)]) == phrase]


def _ratios(counts: np.ndarray) -> np.ndarray:
    """Numerator and denominator of each of KEYWORD_RATES in turn, (utterances, 6), from counts (utterances, 3)."""
    occurrences, hits, false_alarms = counts.T
    errors = occurrences - hits + false_alarms
    return np.stack([hits, occurrences, hits, hits + false_alarms, errors, occurrences], axis=1)


def _rates(counts: np.ndarray) -> dict[str, Any]:
    ratios = _ratios(counts[None])[0].reshape(-1, 2)
    rates = [float(above / below) if below else float("nan") for above, below in ratios]
    return dict(zip(KEYWORD_COUNTS, map(int, counts), strict=True)) | dict(zip(KEYWORD_RATES, rates, strict=True))


def _errors(record: dict[str, Any]) -> int:
    return int(record["occurrences"] - record["hits"] + record["false_alarms"])
