"""Numbers and findings in plain words."""

import math

import pytest

from accel_asr.console.printing import counted
from accel_asr.evaluation.intervals import Difference
from accel_asr.reporting import wording


def test_a_rate_that_is_not_defined_is_not_a_number() -> None:
    assert wording.interval([0.0911, 0.123]) == "9.1\u201312.3%"
    assert wording.interval([None, None]) == wording.interval(None) == ""


@pytest.mark.parametrize(
    ("difference", "interval", "verdict"),
    [
        (-0.2, (-0.25, -0.15), "better"),
        (0.2, (0.15, 0.25), "worse"),
        (-0.01, (-0.03, 0.01), "could be chance"),
        (0.0, (-0.1, 0.1), "could be chance"),
        (0.0, (0.0, 0.0), "no difference"),
        (math.nan, (math.nan, math.nan), "unknown"),
    ],
)
def test_a_difference_says_how_sure_it_is(difference: float, interval: tuple[float, float], verdict: str) -> None:
    paired = Difference(difference, interval, 0.5)
    assert paired.verdict == verdict
    sentence = wording.difference_sentence(paired, what="the model")
    words = f"{verdict} beyond chance" if verdict in ("better", "worse") else verdict
    assert words in sentence or ("the same as before" in sentence if difference == 0 else "is unknown" in sentence)


def test_the_interval_of_an_improvement_has_its_sign() -> None:
    sentence = wording.difference_sentence(Difference(-0.2, (-0.25, -0.15), 0.0), what="the model")
    assert "is 20.00 percentage points lower than before (95% interval: 15.00 to 25.00)" in sentence
    sentence = wording.difference_sentence(Difference(-0.01, (-0.03, 0.01), 0.3), what="the model")
    assert "1.00 percentage points lower" in sentence
    assert "from -3.00 to +1.00" in sentence


def test_settings_have_their_whole_name() -> None:
    section = {"a": None, "b": {"c": True, "d": {}}, "e": [{"name": "x"}, {"name": "y"}], "f": [1, 2], "g": []}
    assert wording.setting_rows(section, prefix="data.") == [
        ("data.a", "not set"),
        ("data.b.c", "true"),
        ("data.b.d", "none"),
        ("data.e[0].name", "x"),
        ("data.e[1].name", "y"),
        ("data.f", "1, 2"),
        ("data.g", "none"),
    ]


def test_counts_and_times() -> None:
    assert (counted(1, "word"), counted(1_234, "word")) == ("1 word", "1,234 words")
    assert [wording.hours(duration_h) for duration_h in (12.34, 0.3286, 0.002)] == [
        "12.3 hours",
        "20 minutes",
        "7 seconds",
    ]
    assert [wording.in_a_hundred(rate) for rate in (0.0, 0.004, 0.1044)] == ["none", "fewer than 1", "about 10"]
    assert wording.in_a_hundred(3.0) == "about 300"
    assert [wording.percent_tick(rate) for rate in (0.025, 0.3, 12.5)] == ["2.5%", "30%", "1,250%"]


@pytest.mark.parametrize(
    ("rate", "before", "sentence"),
    [
        (0.1234, None, "12.34% of the words are wrong"),
        (0.1234, 1.0, "12.34% of the words are wrong now, 100.00% before"),
        (1.5957, None, "159.57 word errors for every 100 words"),
        (0.7013, 1.3891, "70.13 word errors for every 100 words now, 138.91 before"),
        (None, None, "n/a of the words are wrong"),
    ],
)
def test_more_than_all_of_the_words_can_not_be_wrong(rate: float | None, before: float | None, sentence: str) -> None:
    assert wording.wrong_words(rate, before) == sentence
