"""Bootstrap intervals against a plain loop, known distributions, and the cases where there is no rate."""

import math

import numpy as np
import pytest

from accel_asr.evaluation.intervals import paired_difference, rate_intervals
from accel_asr.evaluation.scoring import ScoredUtterance
from tests.unit.evaluation.made_up_scores import score_pairs


def with_errors(errors: list[int], *, words: int = 10) -> list[ScoredUtterance]:
    """Utterances of `words` words with so many of them wrong."""
    reference = " ".join(f"w{number}" for number in range(words))
    return score_pairs(
        [(reference, " ".join(["x"] * count + reference.split()[count:])) for count in errors], normalize=str
    )


def test_intervals_are_those_of_a_plain_bootstrap() -> None:
    errors = np.random.default_rng(7).integers(0, 6, size=80).tolist()
    low, high = rate_intervals(with_errors(errors), resamples=4_000)["wer"]
    generator = np.random.default_rng(99)  # another stream: the two must agree as far as chance lets them
    rates = [np.mean(generator.choice(errors, size=80)) / 10 for _ in range(4_000)]
    assert low == pytest.approx(np.percentile(rates, 2.5), abs=0.006)
    assert high == pytest.approx(np.percentile(rates, 97.5), abs=0.006)
    assert low < np.mean(errors) / 10 < high


def test_the_interval_of_a_rate_weighs_long_references_more() -> None:
    scored = with_errors([0] * 50, words=1) + with_errors([5] * 2, words=10)
    low, high = rate_intervals(scored)["wer"]
    # 10 errors in 70 words; a resample without the two long ones has none
    assert low == 0
    assert 0.25 < high < 0.5


def test_an_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(3)
    held = 0
    for _ in range(200):
        low, high = rate_intervals(with_errors(generator.binomial(10, 0.2, size=60).tolist()), resamples=300)["wer"]
        held += low <= 0.2 <= high
    assert 178 <= held <= 200  # of 200, 95% are 190; three deviations are 9


def test_the_same_utterances_give_the_same_interval() -> None:
    scored = with_errors([0, 1, 5, 2, 7])
    assert rate_intervals(scored) == rate_intervals(scored)


def test_each_rate_has_its_own_interval() -> None:
    scored = score_pairs([("My card", "my car"), ("Pay the bill", "pay the bill")] * 10)
    intervals = rate_intervals(scored)
    assert set(intervals) == {"wer", "wer_ortho", "cer", "cer_ortho"}
    assert intervals["wer_ortho"][0] > intervals["wer"][1]  # every case is wrong as written


def test_of_one_reference_or_none_there_is_no_interval() -> None:
    for scored in ([], score_pairs([("", "hello")]), score_pairs([("pay the bill", "pay a bill"), ("", "hello")])):
        assert all(math.isnan(bound) for interval in rate_intervals(scored).values() for bound in interval)


def test_in_pieces_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    scored = with_errors([0, 1, 5, 2, 7] * 8)
    monkeypatch.setattr("accel_asr.evaluation.intervals._CHUNK_CELLS", 130)  # three resamples at once
    low, high = rate_intervals(scored, resamples=2_000)["wer"]
    monkeypatch.undo()
    assert (low, high) == pytest.approx(rate_intervals(scored, resamples=2_000)["wer"], abs=0.01)


# -- two models on the same utterances


def test_a_paired_difference_is_sharper_than_two_intervals() -> None:
    generator = np.random.default_rng(5)
    hard = generator.integers(0, 9, size=60)
    worse, better = with_errors((hard + 1).tolist()), with_errors(hard.tolist())
    found = paired_difference(better, worse)
    assert found.difference == pytest.approx(-0.1)
    assert found.interval == pytest.approx((-0.1, -0.1))  # by one word in ten in every utterance
    assert found.is_clear
    assert found.share_not_better == 0
    # unpaired, the two could not be told apart
    assert rate_intervals(better)["wer"][1] > rate_intervals(worse)["wer"][0]


def test_a_difference_by_chance_is_not_clear() -> None:
    generator = np.random.default_rng(6)
    ones, others = (with_errors(generator.integers(0, 9, size=40).tolist()) for _ in range(2))
    found = paired_difference(ones, others)
    assert found.interval[0] < 0 < found.interval[1]
    assert not found.is_clear


def test_the_same_transcripts_do_not_differ() -> None:
    scored = with_errors([0, 1, 5])
    found = paired_difference(scored, scored)
    assert (found.difference, found.interval, found.is_clear, found.share_not_better) == (0, (0, 0), False, 1)
