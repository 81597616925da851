"""Which utterances are shown, and what their cards say."""

from accel_asr.evaluation.comparing import compare
from accel_asr.reporting.media import Clips
from accel_asr.reporting.utterance_cards import CardMaker, worst_utterances
from tests.unit.evaluation.made_up_scores import score_pairs
from tests.unit.reporting.made_up_runs import tone


def test_those_with_the_most_wrong_words_come_first_and_those_without_errors_not_at_all() -> None:
    scored = score_pairs([("a b c d", "a b x y"), ("a", "a"), ("a b c", "x y z"), ("a b", "x y"), ("", "made up")])
    assert [utterance.transcript.utterance_id for utterance in worst_utterances(scored)] == ["u2", "u3", "u0"]
    assert len(worst_utterances(scored, most=2)) == 2


def test_a_recording_stands_in_the_page_once() -> None:
    before, after = score_pairs([("a b", "x y")]), score_pairs([("a b", "a y")])
    cards = CardMaker(Clips(tone), run_language="German")
    worst = cards.of_utterance(after[0])
    improved = cards.of_change(compare(before, after).improved[0])
    assert worst.clip is not None
    assert worst.clip_at is None
    assert improved.clip is None
    assert improved.clip_at == worst.anchor != improved.anchor
    assert improved.errors == "1 wrong of 2 words (50.00%); before training 2 wrong of 2 words (100.00%)"
    assert worst.language == "de"


def test_a_card_says_what_is_odd_and_does_not_ask_for_audio_that_can_not_be_read() -> None:
    asked: list[str] = []
    cards = CardMaker(Clips(asked.append), run_language=None)  # type: ignore[arg-type]
    (scored,) = score_pairs([("a", "")], cut_off=True, silent=True, audio_problem="it is torn", language="th")
    card = cards.of_utterance(scored)
    assert card.remarks == ["cut off at the length limit", "nothing can be heard", "could not be decoded: it is torn"]
    assert card.language == "th"
    assert asked == []
