"""Which evaluation becomes best/ where there are guards, and what is said of the one that was not chosen."""

from typing import Any

import pytest

from accel_asr.run.alphas import finer_alphas
from accel_asr.run.best_rule import choose_candidate, price_of_guards, remember, remember_candidate, table_of_guards


def evaluation(step: int, wer: float, change: float | None, *, margin: float = 0.01) -> dict[str, Any]:
    """An evaluation whose guard is `change` above the baseline's 5%; None: its guards were not scored."""
    record: dict[str, Any] = {"step": step, "wer": wer, "wer_interval": [float("nan")] * 2}
    if change is not None:
        guard: dict[str, Any] = {"rate": 0.05 + change, "change": change, "margin": margin, "held": change <= margin}
        guard["rate_interval"] = [0.04, 0.06]
        record["guards"] = {"general": guard}
    return record


def scores_of(*records: dict[str, Any], guarded: bool = True) -> dict[str, dict[str, Any]]:
    scores: dict[str, dict[str, Any]] = {}
    remember(scores, "baseline", evaluation(0, 0.4, 0.0 if guarded else None), guarded=guarded)
    for record in records:
        remember(scores, "last", record, guarded=guarded)
    return scores


@pytest.mark.parametrize(
    ("records", "best", "unguarded"),
    [
        ([(0.3, 0.0), (0.2, 0.05)], 1, 2),  # the lowest WER broke the guard
        ([(0.2, 0.05), (0.3, 0.0)], 2, 1),  # whichever comes first
        ([(0.2, 0.05), (0.1, 0.0)], 2, None),  # the lowest of all holds it
        ([(0.3, 0.0), (0.2, 0.05), (0.25, 0.01)], 3, 2),  # at the margin it is held
        ([(0.3, 0.0), (0.2, 0.05), (0.1, 0.06)], 1, 3),
        ([(0.3, 0.0), (0.3, 0.0)], 1, None),  # ties keep the earlier
        ([(0.2, 0.05), (0.3, 0.06)], None, 1),  # nothing holds it
        ([(0.3, None), (0.35, 0.0)], 2, 1),  # without scored guards an evaluation can't be chosen
        ([(0.5, 0.0)], 1, None),
    ],
)
def test_the_best_is_the_lowest_wer_that_holds_every_guard(
    records: list[tuple[float, float | None]], best: int | None, unguarded: int | None
) -> None:
    scores = scores_of(*(evaluation(step, *values) for step, values in enumerate(records, start=1)))
    assert scores.get("best", {}).get("step") == best
    assert scores.get("unguarded", {}).get("step") == unguarded


def test_without_guards_it_is_the_lowest_wer() -> None:
    scores = scores_of(evaluation(1, 0.3, None), evaluation(2, 0.2, None), evaluation(3, 0.25, None), guarded=False)
    assert scores["best"]["step"] == 2
    assert "unguarded" not in scores


def test_what_was_given_up_is_said_with_its_price() -> None:
    scores = scores_of(evaluation(1, 0.3, 0.0), evaluation(2, 0.2, 0.05))
    assert table_of_guards(scores) == [
        ["", "before", "best", "last"],
        ["WER", "40.00%", "30.00%", "20.00%"],
        [
            "guard general",
            "5.00% (4.00 to 6.00)",
            "5.00% (4.00 to 6.00)\n+0.00 of 1: held",
            "10.00% (4.00 to 6.00)\n+5.00 of 1: broken",
        ],
    ]
    price = price_of_guards(scores)
    assert price is not None
    assert "20.00% (step 2)" in price
    assert "general by +5.00 points" in price
    assert "costs 10.00 points of WER" in price


def test_where_nothing_holds_the_guards_there_is_no_best_and_the_remedies_are_named() -> None:
    price = price_of_guards(scores_of(evaluation(1, 0.2, 0.05)))
    assert price is not None
    assert "no best/" in price
    assert "replay" in price


# WER, change of the guard; the margin is 0.01
HOLDS, BREAKS = 0.0, 0.05
BETTER, CHANCE, ALONE = 0.002, 0.2, 0.03  # p-values; the last is clear for one candidate, and not for two


def candidate(name: str, wer: float, change: float, p_value: float | None, *, best: float = 0.3) -> dict[str, Any]:
    versus = None if p_value is None else {"step": 1, "wer": best, "difference": wer - best, "p_value": p_value}
    return {**evaluation(2, wer, change), "weights": name, "versus_best": versus}


@pytest.mark.parametrize(
    ("of_training", "tried", "best", "unguarded"),
    [
        # the best of training is the last model, and holds the guard
        ([(0.3, HOLDS)], [(0.25, HOLDS, BETTER)], "a", None),
        ([(0.3, HOLDS)], [(0.25, HOLDS, CHANCE)], None, None),
        ([(0.3, HOLDS)], [(0.2, BREAKS, BETTER)], None, "a"),
        ([(0.3, HOLDS)], [(0.2, BREAKS, BETTER), (0.25, HOLDS, BETTER)], "b", "a"),
        ([(0.3, HOLDS)], [(0.25, HOLDS, BETTER), (0.26, HOLDS, BETTER)], "a", None),
        ([(0.3, HOLDS)], [(0.25, HOLDS, BETTER), (0.24, HOLDS, CHANCE)], "a", None),
        ([(0.3, HOLDS)], [(0.25, HOLDS, BETTER), (0.25, HOLDS, BETTER)], "a", None),  # ties keep the earlier
        ([(0.3, HOLDS)], [(0.25, HOLDS, ALONE)], "a", None),
        ([(0.3, HOLDS)], [(0.25, HOLDS, ALONE), (0.26, HOLDS, CHANCE)], None, None),
        ([(0.3, HOLDS)], [(0.25, HOLDS, ALONE), (0.2, BREAKS, BETTER)], "a", "b"),  # those that break one don't count
        # the last model breaks the guard, an earlier one holds it: any gain counts
        ([(0.3, HOLDS), (0.2, BREAKS)], [(0.25, HOLDS, CHANCE)], "a", 2),
        ([(0.3, HOLDS), (0.2, BREAKS)], [(0.35, HOLDS, BETTER)], None, 2),
        ([(0.3, HOLDS), (0.2, BREAKS)], [(0.19, HOLDS, BETTER)], "a", None),  # it costs nothing to hold the guard
        # no evaluation of training held it
        ([(0.2, BREAKS)], [(0.28, HOLDS, None), (0.25, HOLDS, None), (0.22, BREAKS, None)], "b", 1),
        ([(0.2, BREAKS)], [(0.22, BREAKS, None)], None, 1),
        ([(0.3, HOLDS)], [(float("nan"), HOLDS, float("nan"))], None, None),
    ],
)
def test_a_candidate_wins_beyond_chance_or_by_holding_a_guard(
    of_training: list[tuple[float, float]],
    tried: list[tuple[float, float, float | None]],
    best: str | None,
    unguarded: str | int | None,
) -> None:
    scores = scores_of(*(evaluation(step, *values) for step, values in enumerate(of_training, start=1)))
    before = scores.get("best")
    for name, values in zip("abc", tried, strict=False):
        remember_candidate(scores, name, candidate(name, *values))
    chosen = choose_candidate(scores)
    assert (None if chosen is None else chosen["weights"]) == best
    assert scores.get("best") == (before if chosen is None else chosen)
    lowest = scores.get("unguarded", {})
    assert lowest.get("weights", lowest.get("step")) == unguarded
    assert choose_candidate(scores) is None  # a resumed run chooses no other


@pytest.mark.parametrize(
    ("points", "finer"),
    [
        (
            {0: (0.4, HOLDS), 0.25: (0.3, HOLDS), 0.5: (0.2, HOLDS), 0.75: (0.25, HOLDS), 1: (0.3, HOLDS)},
            (0.375, 0.625),
        ),
        (
            {0: (0.4, HOLDS), 0.25: (0.3, HOLDS), 0.5: (0.2, BREAKS), 0.75: (0.2, BREAKS), 1: (0.1, BREAKS)},
            (0.125, 0.375),
        ),
        (
            {0: (0.4, HOLDS), 0.25: (0.3, BREAKS), 0.5: (0.2, BREAKS), 0.75: (0.2, BREAKS), 1: (0.1, BREAKS)},
            (0.0625, 0.125),
        ),
        (
            {0: (0.4, HOLDS), 0.25: (0.3, HOLDS), 0.5: (0.2, HOLDS), 0.75: (0.2, HOLDS), 1: (0.1, HOLDS)},
            (0.875, 0.9375),
        ),
        ({0.25: (0.3, HOLDS), 0.5: (0.2, HOLDS), 0.75: (0.2, HOLDS), 1: (0.3, HOLDS)}, (0.625, 0.875)),
    ],
)
def test_it_is_looked_closer_around_the_lowest_that_holds_the_guards(
    points: dict[float, tuple[float, float]], finer: tuple[float, ...]
) -> None:
    assert finer_alphas({alpha: evaluation(1, *values) for alpha, values in points.items()}) == finer
