"""Parity: half a point is the most, transcripts that differ are found, every utterance is scored as here."""

import math

import pytest

from accel_asr.evaluation.scoring import ScoredUtterance, Transcript, score_utterance
from accel_asr.exporting.parity import compare_transcripts, read_clip, score_exported


def scored(hypotheses: list[str], reference: str = "a b c d e f g h i j") -> list[ScoredUtterance]:
    rows = [Transcript(f"clip-{number}", 1.0, reference, text, False) for number, text in enumerate(hypotheses)]
    return [score_utterance(row, str.strip) for row in rows]


WORDS = "a b c d e f g h i j"
WRONG = "x b c d e f g h i j"


@pytest.mark.parametrize(("wrong", "passed"), [(0, True), (1, True), (2, False)])
@pytest.mark.parametrize("better", [False, True])
def test_half_a_point_passes_and_one_word_more_does_not(wrong: int, passed: bool, better: bool) -> None:
    right, changed = scored([WORDS] * 20), scored([WRONG] * wrong + [WORDS] * (20 - wrong))  # a word is half a point
    parity = compare_transcripts(changed, right) if better else compare_transcripts(right, changed)
    assert parity.points() == pytest.approx(-0.5 * wrong if better else 0.5 * wrong)
    assert parity.passed is passed
    assert len(parity.differing) == parity.record()["transcripts_that_differ"] == wrong


def test_a_larger_difference_passes_where_it_is_allowed_and_its_interval_is_told() -> None:
    right, changed = scored([WORDS] * 20), scored([WRONG] * 2 + [WORDS] * 18)  # a point more
    assert not compare_transcripts(right, changed, most_points=0.9).passed
    parity = compare_transcripts(right, changed, most_points=1.0)
    assert parity.passed
    record = parity.record()
    assert record["most_difference_points"] == 1.0
    low, high = record["difference_interval_points"]
    assert 0 <= low < 1 < high < 3  # of 20 utterances, 0 to 5 of the two are drawn in all but 5% of the resamples
    assert compare_transcripts(right, right).record()["difference_interval_points"] == [0, 0]


def test_a_score_that_is_not_defined_never_passes() -> None:
    nothing = scored([WORDS], reference="")
    assert math.isnan(compare_transcripts(nothing, nothing).points())
    assert not compare_transcripts(nothing, nothing).passed
    assert compare_transcripts(nothing, nothing).record()["difference_interval_points"] is None


def test_equal_scores_of_different_transcripts_are_told_apart() -> None:
    parity = compare_transcripts(scored([WRONG, WORDS]), scored([WORDS, WRONG]))
    assert parity.points() == 0
    assert [here.transcript.utterance_id for here, _ in parity.differing] == ["clip-0", "clip-1"]


class Echo:
    """Says how many tokens it was given, and fills all places."""

    runtime = "echo"

    def transcribe(self, clip):
        return str(len(clip.start_ids)), [0] * clip.max_new_tokens


def test_a_recording_that_failed_here_is_not_tried_there(clip_items, model_and_processor) -> None:
    model, _ = model_and_processor
    rows = [
        Transcript(utterance.utterance_id, 1.0, "a", "b", False, audio_problem="torn" if index == 2 else None)
        for index, utterance in enumerate(clip_items.utterances)
    ]
    here = [score_utterance(row, str.strip) for row in rows]
    counted: list[int] = []
    there = score_exported(Echo(), clip_items, here, model=model, normalizer=str.strip, on_utterance=counted.append)
    said = [utterance.transcript.hypothesis for utterance in there]
    assert said == ["4", "4", "", "4", "4", "4", "4"]
    assert [utterance.transcript.cut_off for utterance in there] == [text != "" for text in said]
    assert sum(counted) == 7


def test_a_clip_has_its_own_language_task_and_previous_text(varied_items, model_and_processor) -> None:
    model, processor = model_and_processor
    clips = [read_clip(varied_items, row, model=model) for row in range(2)]
    assert [(clip.language, clip.task) for clip in clips] == [("en", "transcribe"), ("de", "translate")]
    tokens = processor.tokenizer.convert_ids_to_tokens(clips[1].start_ids)
    assert tokens == ["<|startoftranscript|>", "<|de|>", "<|translate|>", "<|notimestamps|>"]
    assert processor.tokenizer.decode(clips[0].previous_ids) == " freeze my account"
    assert clips[0].start_ids[1:-4] == clips[0].previous_ids
    assert clips[0].max_new_tokens == 12
