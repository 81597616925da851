"""Whether confidences of words mean what they say: reliability, expected calibration error, a temperature."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from xxhash import xxh3_64_intdigest

from accel_asr.evaluation.alignments import align_words
from accel_asr.evaluation.scoring import ScoredUtterance

BINS = 10
_LEAST = 1e-4  # probabilities are kept this far from 0 and 1
_TEMPERATURES = np.geomspace(0.1, 10, 401)


@dataclass(frozen=True)
class JudgedWords:
    """Words that were written. probabilities: of each, (words,); right: whether it was said there, bool (words,);
    is_fitted: of an utterance on which a temperature may be fitted, bool (words,).
    """

    probabilities: np.ndarray
    right: np.ndarray
    is_fitted: np.ndarray


def judged_words(scored: Sequence[ScoredUtterance], normalize: Callable[[str], str]) -> JudgedWords:
    """Each written word that has a confidence and that the normaliser leaves something of.

    It is right if all that is left of it stands at its place in the alignment with the normalised reference. Half of
    the utterances, by a hash of their ids, are for fitting.
    """
    rows: list[tuple[float, bool, bool]] = []
    for utterance in scored:
        transcript = utterance.transcript
        written = transcript.hypothesis.split()
        if len(written) != len(transcript.word_confidences):  # none, or another decoding
            continue
        pieces = [normalize(word).split() for word in written]
        equal: list[bool] = []
        for run in align_words(utterance.reference_normalized, " ".join(word for piece in pieces for word in piece)):
            equal += [run.edit == "equal"] * len(run.hypothesis)
        is_fitted = xxh3_64_intdigest(transcript.utterance_id.encode()) % 2 == 0
        place = 0
        for piece, confidence in zip(pieces, transcript.word_confidences, strict=True):
            if piece:
                rows.append((confidence, all(equal[place : place + len(piece)]), is_fitted))
            place += len(piece)
    columns = np.array(rows, dtype=np.float64).reshape(-1, 3).T
    return JudgedWords(columns[0], columns[1].astype(bool), columns[2].astype(bool))


def confidence_record(words: JudgedWords) -> dict[str, Any] | None:
    """What is known of the confidences, as summary.json has it; None without any.

    auroc: how likely a right word has a higher confidence than a wrong one. ece: the expected calibration error over
    BINS equal bins (Naeini et al. 2015). The temperature divides the log-odds; it is fitted on one half of the
    utterances by the likelihood (Guo et al. 2017), and `calibrated` is scored on the other half, as `uncalibrated` is.
    """
    if not len(words.probabilities):
        return None
    fitted, others = words.is_fitted, ~words.is_fitted
    temperature = fitted_temperature(words.probabilities[fitted], words.right[fitted])
    scaled = at_temperature(words.probabilities[others], temperature)
    return {
        "words": len(words.right),
        "right": float(words.right.mean()),
        "auroc": auroc(words.probabilities, words.right),
        "ece": calibration_error(words.probabilities, words.right),
        "temperature": temperature,
        "uncalibrated": reliability(words.probabilities[others], words.right[others]),
        "calibrated": reliability(scaled, words.right[others]),
    }


def reliability(probabilities: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    """`ece`, and `bins`: mean confidence, share of right words and how many they are, of each bin that has any."""
    bins = []
    of_word = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    for number in range(BINS):
        inside = of_word == number
        if inside.any():
            bins.append([float(probabilities[inside].mean()), float(right[inside].mean()), int(inside.sum())])
    return {"ece": calibration_error(probabilities, right), "bins": bins}


def calibration_error(probabilities: np.ndarray, right: np.ndarray) -> float:
    """Mean distance of confidence and share of right words over the bins, by their words."""
    if not len(right):
        return math.nan
    of_word = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    gaps = np.bincount(of_word, weights=probabilities - right, minlength=BINS)
    return float(np.abs(gaps).sum() / len(right))


def auroc(probabilities: np.ndarray, right: np.ndarray) -> float:
    """The area under the ROC curve, ties counted half; nan where all words are right, or none is."""
    from scipy.stats import rankdata

    positives, negatives = int(right.sum()), int((~right).sum())
    if not positives or not negatives:
        return math.nan
    rank_sum = float(rankdata(probabilities)[right].sum())
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)


def at_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """The probabilities with their log-odds divided by the temperature: above 1 they come nearer to 0.5."""
    clipped = np.clip(probabilities, _LEAST, 1 - _LEAST)
    odds = np.log(clipped / (1 - clipped)) / temperature
    scaled: np.ndarray = 1 / (1 + np.exp(-odds))
    return scaled


def fitted_temperature(probabilities: np.ndarray, right: np.ndarray) -> float:
    """The temperature, of 401 from 0.1 to 10, under which what was right and wrong is likeliest; 1 without words."""
    if not len(right):
        return 1.0
    losses = []
    for temperature in _TEMPERATURES:
        scaled = np.clip(at_temperature(probabilities, temperature), _LEAST, 1 - _LEAST)
        losses.append(float(-np.where(right, np.log(scaled), np.log(1 - scaled)).mean()))
    return float(_TEMPERATURES[int(np.argmin(losses))])
