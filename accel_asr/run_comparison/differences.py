"""Runs against each other and seeds of one recipe together, as plain values."""

import math
import statistics
from collections.abc import Sequence
from itertools import combinations
from typing import Any

from scipy.stats import t as students_t

from accel_asr.evaluation.intervals import CONFIDENCE, Difference, paired_difference
from accel_asr.evaluation.many_comparisons import corrected_verdicts, holm, resamples_for
from accel_asr.reporting.wording import number
from accel_asr.run_comparison.compared_runs import ComparedRun, differing_settings, recipes_of


def comparison_of_runs(runs: Sequence[ComparedRun]) -> dict[str, Any]:
    """All that table, chart and page show. Runs are numbered from 1 in their order.

    `differences` are WER of the later run minus the earlier one's, paired, in blocks where known; `p_value_corrected`
    and `verdict` are corrected (Holm) for the number of pairs. Pairs that can't be compared are in `not_compared`.
    """
    reasons = {pair: why_not_comparable(runs[pair[0]], runs[pair[1]]) for pair in combinations(range(len(runs)), 2)}
    able = [pair for pair, reason in reasons.items() if reason is None]
    resamples = resamples_for(len(able))
    differences = [_difference(runs[later], runs[earlier], resamples=resamples) for earlier, later in able]
    corrected = holm([difference.p_value for difference in differences])
    verdicts = corrected_verdicts(differences)
    return {
        "runs": [run.to_json() for run in runs],
        "settings": differing_settings(runs),
        "differences": [
            {
                "run": later + 1,
                "other": earlier + 1,
                "difference": difference.difference,
                "interval": list(difference.interval),
                "p_value": difference.p_value,
                "p_value_corrected": p_value,
                "verdict": verdict,
            }
            for (earlier, later), difference, p_value, verdict in zip(
                able, differences, corrected, verdicts, strict=True
            )
        ],
        "not_compared": [
            {"run": later + 1, "other": earlier + 1, "reason": reason}
            for (earlier, later), reason in reasons.items()
            if reason is not None
        ],
        "recipes": [
            {
                "runs": [place + 1 for place in places],
                "seeds": [runs[place].to_json()["seed"] for place in places],
                **over_seeds([number(runs[place].record["wer"]) for place in places]),
            }
            for places in recipes_of(runs)
        ],
    }


def why_not_comparable(run: ComparedRun, other: ComparedRun) -> str | None:
    """Why a paired difference would not be one of the models; None if it is."""
    if run.by_id.keys() != other.by_id.keys():
        shared = len(run.by_id.keys() & other.by_id.keys())
        return (
            f"their validation utterances differ: {shared:,} of {len(run.by_id):,} and {len(other.by_id):,} are both's"
        )
    if any(line.reference_normalized != other.by_id[name].reference_normalized for name, line in run.by_id.items()):
        return "their reference texts differ, by the data or by evaluation.normalizer"
    return None


def _difference(run: ComparedRun, other: ComparedRun, *, resamples: int) -> Difference:
    names = sorted(run.by_id)  # so that the order of the data changes nothing
    ones, others = ([side.by_id[name] for name in names] for side in (run, other))
    return paired_difference(ones, others, resamples=resamples)


def over_seeds(rates: Sequence[float]) -> dict[str, Any]:
    """Mean, standard deviation (of a sample), range, and the 95% interval of the mean by Student's t.

    It says what other seeds would give on the same validation data.
    """
    mean, deviation = statistics.fmean(rates), statistics.stdev(rates)
    half = float(students_t.ppf((1 + CONFIDENCE) / 2, len(rates) - 1)) * deviation / math.sqrt(len(rates))
    return {
        "mean": mean,
        "sd": deviation,
        "lowest": min(rates),
        "highest": max(rates),
        "interval": [max(0.0, mean - half), mean + half],
    }
