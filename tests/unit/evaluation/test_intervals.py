"""Bootstrap intervals against a plain loop, known distributions, and the cases where there is no rate."""

import math
from dataclasses import replace

import numpy as np
import pytest

from accel_asr.evaluation.blocks import blocks_in_words, blocks_of
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


# -- blocks of utterances that are alike, such as those of one speaker


def in_blocks(
    scored: list[ScoredUtterance], blocks: list[str | None], column: str = "speaker"
) -> list[ScoredUtterance]:
    return [
        replace(line, transcript=replace(line.transcript, block=block, block_column=block and column))
        for line, block in zip(scored, blocks, strict=True)
    ]


def of_speakers(generator: np.random.Generator, rates: np.ndarray, *, utterances: int) -> list[ScoredUtterance]:
    """So many utterances of 10 words of each speaker, who has a rate of their own."""
    drawn = generator.binomial(10, np.repeat(rates, utterances))
    names = [f"speaker {number}" for number in range(len(rates)) for _ in range(utterances)]
    return in_blocks([OF_SO_MANY_ERRORS[count] for count in drawn], names)


OF_SO_MANY_ERRORS = with_errors(list(range(11)))


def test_intervals_by_speakers_hold_the_truth_as_often_as_they_say_and_those_by_utterance_do_not() -> None:
    generator = np.random.default_rng(11)
    held = {False: 0, True: 0}
    for _ in range(200):
        scored = of_speakers(generator, generator.beta(2, 8, size=40), utterances=10)  # of a mean of 0.2
        for by_utterance in held:
            low, high = rate_intervals(scored, by_utterance=by_utterance, resamples=300)["wer"]
            held[by_utterance] += low <= 0.2 <= high
    assert 180 <= held[False] <= 200  # of 200, 95% are 190
    assert held[True] < 140


def test_differences_by_speakers_are_called_clear_by_chance_no_oftener_than_they_say() -> None:
    generator = np.random.default_rng(12)
    clear = {"by speakers": 0, "by utterance": 0}
    for _ in range(200):
        before, after = (generator.beta(2, 8, size=30) for _ in range(2))  # each model has its own bad speakers
        ones, others = (of_speakers(generator, rates, utterances=10) for rates in (before, after))
        clear["by speakers"] += paired_difference(ones, others, resamples=300).is_clear
        alone: list[str | None] = [None] * len(ones)
        ones, others = in_blocks(ones, alone), in_blocks(others, alone)
        clear["by utterance"] += paired_difference(ones, others, resamples=300).is_clear
    assert clear["by speakers"] <= 22  # of 200, 5% are 10
    assert clear["by utterance"] > 50


def test_one_block_or_blocks_of_one_utterance_change_nothing() -> None:
    scored = with_errors([0, 1, 5, 2])
    for blocks in (["a", "a", "a", "a"], ["a", "b", "c", "d"], ["a", "a", None, None]):
        assert blocks_of(in_blocks(scored, blocks)) is None
        assert rate_intervals(in_blocks(scored, blocks)) == rate_intervals(scored)


def test_an_utterance_without_a_block_is_one_of_its_own() -> None:
    blocks = blocks_of(in_blocks(with_errors([0, 1, 5, 2, 7]), ["a", None, "b", "a", None]))
    assert blocks is not None
    assert (blocks.count, blocks.column, blocks.total) == (2, "speaker", 4)
    assert blocks.numbers.tolist() == [0, 1, 2, 0, 3]
    assert blocks.sums(np.array([[1.0], [2], [3], [4], [5]])).tolist() == [[5], [2], [3], [5]]


def test_transcripts_of_a_version_without_blocks_take_those_of_the_others() -> None:
    scored = of_speakers(np.random.default_rng(13), np.array([0.1, 0.2, 0.6] * 4), utterances=5)
    old = in_blocks(with_errors([0, 1, 2] * 20), [None] * 60)
    new = in_blocks(with_errors([0, 1, 2] * 20), [line.transcript.block for line in scored])
    assert paired_difference(scored, old) == paired_difference(scored, new)


def test_few_blocks_are_said_to_be_rough() -> None:
    record = {"blocks": {"count": 9, "column": "speaker_id"}, "wer_interval_by_utterance": [0.1, 0.2]}
    words = blocks_in_words(record)
    assert words is not None
    assert all(word in words for word in ("9 values of speaker_id", "10.00% to 20.00%", "too narrow", "rough"))
    assert "rough" not in str(blocks_in_words(record | {"blocks": {"count": 10, "column": "speaker_id"}}))
    assert blocks_in_words({"wer": 0.1}) is None


def test_a_p_value_agrees_with_the_interval() -> None:
    generator = np.random.default_rng(8)
    for shift in (0, 1, 2):
        ones = with_errors((generator.integers(0, 6, size=50) + shift).tolist())
        result = paired_difference(ones, with_errors(generator.integers(0, 6, size=50).tolist()))
        assert (result.p_value < 0.05) == result.is_clear
    assert result.p_value == pytest.approx(2 / 1001)
    assert paired_difference(ones, ones).p_value == 1
