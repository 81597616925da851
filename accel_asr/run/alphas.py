"""Which weights between the base model's (alpha 0) and the last ones (alpha 1) are scored: a few, then some nearer."""

from collections.abc import Mapping
from typing import Any

from accel_asr.run.best_rule import holds_guards

FIRST_ALPHAS = (0.25, 0.5, 0.75)
MORE_ALPHAS = 2  # around the most promising
INTERPOLATION = "interpolation"  # in metrics.jsonl


def name_of(alpha: float) -> str:
    """What summary.json calls it."""
    return f"alpha-{alpha:g}"


def finer_alphas(scored: Mapping[float, Mapping[str, Any]]) -> tuple[float, ...]:
    """MORE_ALPHAS more: half way to both neighbours of the most promising alpha; at an end, half way and a quarter.

    The most promising has the lowest WER of those that hold every guard, the nearer to alpha 1 of equal ones.

    Args:
        scored: The records of both ends, as far as they were scored, and of FIRST_ALPHAS, by alpha.
    """
    able = {alpha: record for alpha, record in scored.items() if holds_guards(record)} or scored
    centre = min(able, key=lambda alpha: (able[alpha]["wer"], -alpha))
    step = FIRST_ALPHAS[0] / 2
    if centre == 0:
        return step / 2, step
    if centre == 1:
        return 1 - step, 1 - step / 2
    return centre - step, centre + step
