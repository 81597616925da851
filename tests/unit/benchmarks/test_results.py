"""Ratios, verdicts and tables of the speed benchmark."""

from dataclasses import replace

import pytest

from benchmarks.speed.results import Row, page_table, with_page_table
from benchmarks.speed.timing import Ratio, in_turns, ratio
from tests.integration.launching import REPOSITORY

FETCH = Row("fetch", "seed", "ms CPU", ours=1.0, theirs=9.0, ratio=9.0, low=8.9, high=9.1, rounds=5)
MEMORY = Row("head, extra memory", "seed", "MB", ours=1.0, theirs=2.0, ratio=0.5, rounds=1)
BYTES = Row("bytes of a step, two ranks", "formula", "MB", ours=1.0, theirs=1.0, ratio=1.011, rounds=1)
SHARE = Row(
    *("train step, share of matrix-multiply ceiling", "ceiling", "TFLOP/s", 360.0, 720.0, 0.5, 0.49, 0.51, 5),
    model="large-v3-turbo",
    gpu="NVIDIA H200",
)
EPOCH = Row("reference epoch", "seed", "s", 0.5, 16.0, 32.0, 31.0, 33.0, 5, model="whisper-tiny", gpu="NVIDIA H200")
JOB = Row("reference job", "after imports", "s", 14.0, rounds=5, model="whisper-tiny", gpu="NVIDIA H200 NVL")


def test_the_ways_take_turns_in_both_orders() -> None:
    called: list[str] = []
    ways = {name: lambda name=name: called.append(name) for name in "ab"}
    in_turns(ways, rounds=3, clock=lambda work: float(work() is None))
    assert "".join(called) == "ab" + "abbaab"


def test_a_ratio_is_the_median_over_rounds_with_an_interval_around_it() -> None:
    steady = ratio([2.0, 2.2, 2.1, 2.0, 2.1], [1.0, 1.1, 1.05, 1.0, 1.05])
    assert (steady.low, steady.median, steady.high) == pytest.approx((2, 2, 2))
    shaky = ratio([1.0, 2.0, 3.0, 4.0, 5.0], [1.0] * 5)
    assert shaky.low < 2 < shaky.median == 3 < 4 < shaky.high
    certain = [each.is_certain for each in (steady, shaky, Ratio(1.0, 0.93, 1.07), Ratio(1.0, 0.92, 1.08))]
    assert certain == [True, False, True, False]


@pytest.mark.parametrize(
    ("row", "target", "verdict"),
    [
        (FETCH, ">= 8x", "met"),
        (replace(FETCH, ratio=7.9, low=7.8, high=8.0), ">= 8x", "missed"),
        (replace(FETCH, low=8.0, high=9.4), ">= 8x", "no verdict: interval wider than 15%"),
        (replace(FETCH, rounds=4), ">= 8x", "no verdict: fewer than 5 rounds"),
        (replace(FETCH, against="trainer"), "", ""),
        (MEMORY, "<= 0.5x", "met"),
        (replace(MEMORY, ratio=0.51), "<= 0.5x", "missed"),
        (BYTES, "within 1% of 1x", "missed"),
        (replace(BYTES, ratio=0.991), "within 1% of 1x", "met"),
        # targets for an H200 are shown on an H200 only, for the model that they were set for
        (SHARE, ">= 0.45x", "met"),
        (replace(SHARE, ratio=0.44, low=0.43, high=0.45), ">= 0.45x", "missed"),
        (replace(SHARE, gpu="NVIDIA A100"), "", ""),
        (replace(SHARE, gpu=""), "", ""),
        (replace(SHARE, model="whisper-tiny"), "", ""),
        (EPOCH, ">= 30x", "met"),
        (JOB, "<= 15 s", "met"),
        (replace(JOB, ours=15.5), "<= 15 s", "missed"),
        (replace(JOB, ours=None), "<= 15 s", "not measured"),
    ],
)
def test_a_verdict_needs_a_target_a_narrow_interval_and_enough_rounds(row: Row, target: str, verdict: str) -> None:
    assert (row.target, row.verdict) == (target, verdict)


def test_a_target_in_seconds_is_shown_without_an_opponent() -> None:
    table = page_table([replace(JOB, ours=15.5).record()])
    assert table.endswith("| reference job | after imports | 15.5 s |  |  | <= 15 s: missed |")


@pytest.mark.parametrize("name", ["speed", "speed_real_weights", "speed_random_weights"])
def test_the_page_has_the_tables_of_the_newest_results(name: str) -> None:
    newest = max((REPOSITORY / "benchmarks" / "results").glob(f"*-{name}.md"))
    page = (REPOSITORY / "docs" / "speed.md").read_text(encoding="utf-8")
    assert with_page_table(page, newest) == page, "run: python -m benchmarks.speed --page docs/speed.md --from ..."
    before, marker, after = page.partition(f"<!-- {name}: ")
    broken = before + marker + after.replace("| what | against | ours |", "| what | against | mine |", 1)
    assert broken != page
    assert with_page_table(broken, newest) == page
