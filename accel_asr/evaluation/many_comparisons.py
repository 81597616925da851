"""Verdicts of several comparisons that are shown at once: of twenty by chance alone, one would look clear."""

from collections.abc import Sequence

import numpy as np

from accel_asr.evaluation.intervals import RESAMPLES, Difference

LEVEL = 0.05


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected by the step-down rule of Holm (1979): the chance of any wrong verdict stays below LEVEL.

    It holds however the comparisons depend on each other. nan, of what is not known, stays and is not counted.
    """
    corrected = np.full(len(p_values), np.nan)
    order = [place for place in np.argsort(p_values, kind="stable") if not np.isnan(p_values[place])]
    highest = 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p_values[place]))
        corrected[place] = highest
    return corrected.tolist()


def resamples_for(comparisons: int) -> int:
    """Enough that the smallest possible p-value is clear after the correction."""
    return max(RESAMPLES, 80 * comparisons)


def corrected_verdicts(differences: Sequence[Difference]) -> list[str]:
    """The verdict of each, `better` and `worse` only where it is so after the correction too."""
    return [
        "could be chance" if difference.is_clear and not p_value < LEVEL else difference.verdict
        for difference, p_value in zip(
            differences, holm([difference.p_value for difference in differences]), strict=True
        )
    ]
