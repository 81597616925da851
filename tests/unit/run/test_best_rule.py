"""Which evaluation becomes best/ where there are guards, and what is said of the one that was not chosen."""

from typing import Any

import pytest

from accel_asr.run.best_rule import guard_lines, price_of_guards, remember


def evaluation(step: int, wer: float, change: float | None, *, margin: float = 0.01) -> dict[str, Any]:
    """An evaluation whose guard is `change` above the baseline's 5%; None: its guards were not scored."""
    record: dict[str, Any] = {"step": step, "wer": wer}
    if change is not None:
        guard = {"rate": 0.05 + change, "change": change, "margin": margin, "held": change <= margin}
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
    assert guard_lines(scores)[0] == (
        "guard general: 5.00% before, best 5.00% (+0.00 points: held, 1 allowed), "
        "last 10.00% (+5.00 points: broken, 1 allowed)"
    )
    price = price_of_guards(scores)
    assert price is not None
    assert "20.00% at step 2" in price
    assert "general by +5.00 points" in price
    assert "costs 10.00 points of WER" in price


def test_where_nothing_holds_the_guards_there_is_no_best_and_the_remedies_are_named() -> None:
    price = price_of_guards(scores_of(evaluation(1, 0.2, 0.05)))
    assert price is not None
    assert "no best/" in price
    assert "replay" in price
