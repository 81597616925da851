"""The correction for many comparisons: by hand, and as often wrong as it says."""

import math

import numpy as np
import pytest

from accel_asr.evaluation.intervals import Difference
from accel_asr.evaluation.many_comparisons import corrected_verdicts, holm, resamples_for


def difference(value: float, p_value: float) -> Difference:
    half = abs(value) / 2 if p_value < 0.05 else 2 * abs(value)
    return Difference(value, (value - half, value + half), 0.0, p_value)


def test_holm_by_hand() -> None:
    # sorted: 0.005 x 4, 0.01 x 3, 0.03 x 2, 0.04 x 1, none below the one before it
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_what_is_unknown_is_not_counted() -> None:
    corrected = holm([0.03, math.nan, 0.01])
    assert corrected[0] == pytest.approx(0.03)
    assert math.isnan(corrected[1])
    assert corrected[2] == pytest.approx(0.02)


def test_any_wrong_verdict_among_twenty_is_as_rare_as_said() -> None:
    generator = np.random.default_rng(4)
    p_values = generator.uniform(size=(2_000, 20))
    wrong = sum(min(holm(row.tolist())) < 0.05 for row in p_values)
    assert 70 <= wrong <= 130  # of 2,000, 5% are 100
    assert sum(row.min() < 0.05 for row in p_values) > 1_200  # without a correction


def test_one_clear_difference_of_many_could_be_chance() -> None:
    alone, chance = difference(-0.1, 0.03), difference(0.01, 0.7)
    assert corrected_verdicts([alone]) == ["better"]
    assert corrected_verdicts([alone, chance]) == ["could be chance", "could be chance"]
    assert corrected_verdicts([difference(0.1, 0.002), alone, chance]) == [
        "worse",
        "could be chance",
        "could be chance",
    ]


@pytest.mark.parametrize("comparisons", [1, 25, 100])
def test_the_smallest_p_value_is_clear_after_the_correction(comparisons: int) -> None:
    assert comparisons * 2 / (resamples_for(comparisons) + 1) < 0.05
