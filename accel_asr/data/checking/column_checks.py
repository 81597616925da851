"""Checks of recordings and texts: pure functions of columns, one value per row.

Hashes, peaks and levels come from an index: of the decoded samples, at the file's own rate.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Speech at a usable level has peaks above -30 dBFS. Audio that never reaches -50 dBFS (104 of 32,768 steps) uses fewer
# than seven bits, and the noise of a quiet room is at -60 dBFS RMS: a click in silence has a peak, but no level.
SILENT_PEAK_DBFS = -50.0
SILENT_RMS_DBFS = -60.0
# A normalised recording touches full scale a few times, inaudibly. One sample in a thousand (16 a second at 16 kHz)
# means that the recording was too loud for the device.
CLIPPED_SHARE = 0.001
OUTLIER_DEVIATIONS = 5.0
MAD_TO_DEVIATION = 1.4826  # of a normal distribution
SMALLEST_DEVIATION = 0.05  # of the logarithm: where most rows are alike, a quarter more is no outlier yet
ENOUGH_ROWS = 20
SAME_LEVEL = 0.1  # of the logarithm of the level: 1.5 times what an MP3 encoder changes
COPIED_CHARACTERS = 12  # two recordings of a word or two can have the same length by chance
_BINS = 12


@dataclass(frozen=True)
class Histogram:
    """`counts[n]` values lie in [`bounds[n]`, `bounds[n + 1]`); the last bin includes its upper bound."""

    bounds: list[float]
    counts: list[int]


def histogram(values: np.ndarray, *, limit: float, smallest_step: float = 0.0) -> Histogram:
    """About a dozen bins with round bounds, and one more for all values at or above `limit`.

    Args:
        values: Finite, shape (rows,).
        smallest_step: Minimum width of a bin, 1 for whole numbers.
    """
    below = values[values < limit]
    bounds: list[float] = []
    counts: list[int] = []
    if len(below):
        low, high = float(below.min()), float(below.max())
        step = _round_step(max((high - low) / _BINS, smallest_step))
        first = math.floor(low / step)
        bins = math.floor(high / step) - first + 1
        bounds = [round((first + number) * step, 6) for number in range(bins + 1)]
        places = np.clip(np.floor(below / step).astype(np.int64) - first, 0, bins - 1)
        counts = np.bincount(places, minlength=bins).tolist()
    if len(below) < len(values):
        bounds = [*(bound for bound in bounds if bound < limit), limit, float(values.max())]
        gap = [0] * (len(bounds) - 2 - len(counts))  # between the largest value below the limit, and the limit
        counts = [*counts, *gap, len(values) - len(below)]
    return Histogram(bounds, counts)


def _round_step(step: float) -> float:
    """The next of 1, 2, 5, 10, 20, ... times a power of ten; 1 for none."""
    if step <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))


def groups_of_equal(keys: np.ndarray) -> list[np.ndarray]:
    """The places of each key that occurs more than once, the largest groups first, then in order of appearance."""
    order = np.argsort(keys, kind="stable")
    return _runs(order, keys[order][1:] == keys[order][:-1])


def copies(texts: np.ndarray, durations_s: np.ndarray, rms: np.ndarray) -> list[np.ndarray]:
    """Groups of rows that are likely copies of one recording: same text, same length in ms, same level.

    Leave out short texts first: among many recordings of one word, some match by chance.

    Args:
        texts: A number for each different text, shape (rows,).
    """
    milliseconds = np.round(durations_s * 1000).astype(np.int64)
    level = np.log(np.maximum(rms, 1e-9))
    order = np.lexsort((level, milliseconds, texts))
    same = (texts[order][1:] == texts[order][:-1]) & (milliseconds[order][1:] == milliseconds[order][:-1])
    return _runs(order, same & (np.diff(level[order]) <= SAME_LEVEL))


def _runs(order: np.ndarray, is_like_the_one_before: np.ndarray) -> list[np.ndarray]:
    """Split `order` where a row is unlike the one before; runs of one are left out, the longest come first."""
    if not is_like_the_one_before.any():
        return []
    starts = np.concatenate([[0], np.flatnonzero(~is_like_the_one_before) + 1])
    lengths = np.diff(np.append(starts, len(order)))
    chosen = np.flatnonzero(lengths > 1)
    runs = [np.sort(order[starts[run] : starts[run] + lengths[run]]) for run in chosen]
    return sorted(runs, key=lambda places: (-len(places), int(places[0])))


def dbfs(amplitude: np.ndarray) -> np.ndarray:
    """Decibels relative to full scale; -inf for 0."""
    with np.errstate(divide="ignore"):
        return 20 * np.log10(np.asarray(amplitude, dtype=np.float64))


def is_silent(peak: np.ndarray, rms: np.ndarray) -> np.ndarray:
    """A mask of recordings in which nothing can be heard."""
    return (dbfs(peak) < SILENT_PEAK_DBFS) | (dbfs(rms) < SILENT_RMS_DBFS)


@dataclass(frozen=True)
class Speed:
    """Characters per second of one language: the median, and the bounds beyond which a row is an outlier."""

    median: float
    lowest: float
    highest: float


def text_speed_outliers(
    characters: np.ndarray, durations_s: np.ndarray, languages: np.ndarray
) -> tuple[np.ndarray, np.ndarray, dict[int, Speed]]:
    """Rows whose text is far too long or too short for their duration, compared with others of their language.

    The bounds are the median of the logarithm +- 5 deviations, estimated by the median absolute deviation. Languages
    with fewer than 20 rows have none.

    Args:
        characters: Length of each text, at least 1.
        languages: A number for each row's language.

    Returns:
        Places of the outliers, the most extreme first; their deviations; and the bounds by language.
    """
    speeds = np.log(characters / durations_s)
    deviations = np.zeros(len(speeds))
    bounds = {}
    for language in np.unique(languages):
        mine = languages == language
        if mine.sum() < ENOUGH_ROWS:
            continue
        middle = float(np.median(speeds[mine]))
        deviation = max(MAD_TO_DEVIATION * float(np.median(np.abs(speeds[mine] - middle))), SMALLEST_DEVIATION)
        deviations[mine] = (speeds[mine] - middle) / deviation
        reach = OUTLIER_DEVIATIONS * deviation
        bounds[int(language)] = Speed(math.exp(middle), math.exp(middle - reach), math.exp(middle + reach))
    order = np.argsort(-np.abs(deviations), kind="stable")
    order = order[np.abs(deviations[order]) > OUTLIER_DEVIATIONS]
    return order, deviations[order], bounds


def characters_of(texts: Sequence[str]) -> dict[str, int]:
    """How often each character occurs, in Unicode order."""
    counts = np.zeros(0x110000, dtype=np.int64)
    for first in range(0, len(texts), 10_000):
        points = np.frombuffer("".join(texts[first : first + 10_000]).encode("utf-32-le"), dtype=np.uint32)
        different, occurrences = np.unique(points, return_counts=True)
        counts[different] += occurrences
    return {chr(point): int(counts[point]) for point in np.flatnonzero(counts)}
