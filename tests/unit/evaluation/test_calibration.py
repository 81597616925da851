"""Confidences of words: which word is right, and the figures of calibration, by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest

from accel_asr.evaluation.calibration import (
    JudgedWords,
    at_temperature,
    auroc,
    calibration_error,
    confidence_record,
    fitted_temperature,
    judged_words,
    reliability,
)
from accel_asr.evaluation.scoring import ScoredUtterance
from tests.unit.evaluation.made_up_scores import score_pairs


def with_confidences(pair: tuple[str, str], *confidences: float) -> ScoredUtterance:
    [scored] = score_pairs([pair])
    return replace(scored, transcript=replace(scored.transcript, word_confidences=confidences))


def test_a_word_is_right_if_it_stands_at_its_place() -> None:
    first = with_confidences(("anna pays bob", "anna plays bob now"), 0.9, 0.4, 0.8, 0.3)
    words = judged_words([first], str.lower)
    assert words.probabilities.tolist() == [0.9, 0.4, 0.8, 0.3]
    assert words.right.tolist() == [True, False, True, False]


def test_what_a_normaliser_takes_away_or_splits_is_judged_as_such() -> None:
    def normalize(text: str) -> str:
        return text.lower().replace("it's", "it is").replace("-", "")

    scored = with_confidences(("it is fine", "it's - fine"), 0.9, 0.2, 0.7)
    scored = replace(scored, reference_normalized="it is fine")
    words = judged_words([scored], normalize)
    assert words.probabilities.tolist() == [0.9, 0.7]  # of the dash nothing is left
    assert words.right.tolist() == [True, True]
    wrong = replace(scored, reference_normalized="it was fine")
    assert judged_words([wrong], normalize).right.tolist() == [False, True]  # both parts must be right


def test_utterances_without_confidences_are_left_out() -> None:
    assert confidence_record(judged_words(score_pairs([("a", "a")]), str.lower)) is None


def test_the_calibration_error_is_the_mean_gap_of_the_bins() -> None:
    probabilities = np.array([0.95, 0.95, 0.95, 0.95, 0.25, 0.25])
    right = np.array([True, True, True, False, True, False])
    # of four words 95% confident three are right; of two 25% confident one
    assert calibration_error(probabilities, right) == pytest.approx((4 * 0.20 + 2 * 0.25) / 6)
    found = reliability(probabilities, right)
    assert found["ece"] == pytest.approx(1.3 / 6)
    assert [pytest.approx(row) for row in found["bins"]] == [[0.25, 0.5, 2], [0.95, 0.75, 4]]
    assert math.isnan(calibration_error(np.array([]), np.array([], dtype=bool)))


def test_the_area_under_the_curve() -> None:
    right = np.array([True, True, False, False])
    assert auroc(np.array([0.9, 0.8, 0.2, 0.1]), right) == 1
    assert auroc(np.array([0.1, 0.2, 0.8, 0.9]), right) == 0
    assert auroc(np.array([0.9, 0.3, 0.5, 0.1]), right) == 0.75  # three of four pairs
    assert auroc(np.full(4, 0.5), right) == 0.5
    assert math.isnan(auroc(np.array([0.5]), np.array([True])))


def test_a_temperature_takes_overconfidence_away() -> None:
    assert at_temperature(np.array([0.9]), 1.0)[0] == pytest.approx(0.9)
    assert at_temperature(np.array([0.9]), 2.0)[0] == pytest.approx(0.75)  # odds 9 -> 3
    draws = np.random.default_rng(0)
    true = draws.uniform(0.05, 0.95, 4000)
    right = draws.random(4000) < true
    overconfident = at_temperature(true, 0.5)
    assert fitted_temperature(overconfident, right) == pytest.approx(2.0, abs=0.15)
    record = confidence_record(JudgedWords(overconfident, right, draws.random(4000) < 0.5))
    assert record is not None
    assert record["calibrated"]["ece"] < 0.04 < 0.08 < record["uncalibrated"]["ece"]
