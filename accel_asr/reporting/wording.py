"""Numbers and findings in plain words, for people who do not train models."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from accel_asr.console.printing import percent
from accel_asr.console.public_text import public
from accel_asr.evaluation.intervals import Difference


def number(value: float | None) -> float:
    """JSON has no nan: a rate that is not defined is null there."""
    return float("nan") if value is None else float(value)


def percent_tick(rate: float) -> str:
    """0.05 as `5%`, 0.025 as `2.5%`, 12.5 as `1,250%`."""
    return f"{100 * rate:,.0f}%" if rate >= 1 else f"{100 * rate:.3g}%"


def interval(bounds: Sequence[float | None] | None) -> str:
    """`9.1% to 12.3%`, in few characters; empty where there is none."""
    low, high = (number(bound) for bound in bounds or (None, None))
    return f"{100 * low:,.1f}\u2013{100 * high:,.1f}%" if math.isfinite(low + high) else ""


def small(value: float) -> str:
    """A number of any size in few characters, such as 0.137, 2.4 and 5e-05."""
    return f"{value:.3g}"


def seconds(duration_s: float) -> str:
    """`2.7 s`."""
    return f"{duration_s:.1f} s"


def hours(of: float) -> str:
    """0.3286 as `20 minutes`, 12.34 as `12.3 hours`."""
    return f"{of:,.1f} hours" if of >= 1 else f"{60 * of:.0f} minutes" if of >= 1 / 60 else f"{3600 * of:.0f} seconds"


def count(of: int, one: str, several: str | None = None) -> str:
    """`1 utterance`, `1,234 utterances`."""
    return f"{of:,} {one if of == 1 else several or one + 's'}"


def in_a_hundred(rate: float) -> str:
    """0.1044 as `about 10`, 0.004 as `fewer than 1`."""
    of_hundred = 100 * rate
    if of_hundred == 0:
        return "none"
    if of_hundred >= 100:
        return f"about {of_hundred:,.0f}"
    return f"about {of_hundred:.0f}" if of_hundred >= 1 else "fewer than 1"


def wrong_words(rate: float | None, before: float | None = None) -> str:
    """`12.34% of the words are wrong`; as errors for every 100 words where there are more errors than words.

    Args:
        before: The rate of the untouched model, which is then told in the same unit.
    """
    rates = [number(rate)] + ([] if before is None else [before])
    if any(one > 1 for one in rates):  # more than all of the words can't be wrong
        told = [f"{100 * one:,.2f}" if math.isfinite(one) else "n/a" for one in rates]
        sentence = f"{told[0]} word errors for every 100 words"
    else:
        told = [percent(one) for one in rates]
        sentence = f"{told[0]} of the words are wrong"
    return sentence if before is None else f"{sentence} now, {told[1]} before"


def verdict(difference: Difference) -> str:
    """`better beyond chance`, `worse beyond chance`, `could be chance`, `no difference`, or that none can be told."""
    if not math.isfinite(difference.difference) or not all(map(math.isfinite, difference.interval)):
        return "no difference can be told"
    if difference.difference == difference.interval[0] == difference.interval[1] == 0:
        return "no difference"
    if not difference.is_clear:
        return "could be chance"
    return "better beyond chance" if difference.difference < 0 else "worse beyond chance"


def difference_sentence(difference: Difference, *, what: str) -> str:
    """What a paired difference says, with its interval, in percentage points.

    Args:
        what: Whose errors, such as `the best model`.
    """
    judged = verdict(difference)
    if judged == "no difference can be told":
        return f"How {what} differs from the untouched one can't be told: there is nothing to count errors in."
    if judged == "no difference":
        return f"The word error rate of {what} is as it was before, and each utterance has as many errors."
    low, high = sorted(abs(100 * bound) for bound in difference.interval)
    points = abs(100 * difference.difference)
    direction = "lower" if difference.difference < 0 else "higher"
    if judged == "could be chance":
        least, most = (100 * bound for bound in difference.interval)
        if difference.difference == 0:
            told = f"The word error rate of {what} is as it was before"
        else:
            told = f"The word error rate of {what} is {points:,.2f} percentage points {direction} than before"
        return (
            f"{told}. With other recordings of the same kind it could be anything from {least:+,.2f} to {most:+,.2f}: "
            "this could be chance."
        )
    return (
        f"The word error rate of {what} is {points:,.2f} percentage points {direction} than before (95% interval: "
        f"{low:.2f} to {high:.2f}), on the same recordings: {judged}."
    )


def setting_rows(section: Mapping[str, Any], *, prefix: str = "") -> list[tuple[str, str]]:
    """(dotted name, value) of each setting; lists of sections are numbered."""
    rows: list[tuple[str, str]] = []
    for name, value in section.items():
        if isinstance(value, Mapping) and value:
            rows += setting_rows(value, prefix=f"{prefix}{name}.")
        elif isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
            for place, one in enumerate(value):
                rows += setting_rows(one, prefix=f"{prefix}{name}[{place}].")
        else:
            rows.append((f"{prefix}{name}", public(_shown(value))))
    return rows


def _shown(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(map(_shown, value)) or "none"
    return str(value) if value not in ({}, "") else "none"
