"""The ranking of training rows: the score by hand, the order, the reasons, and what is left out."""

import math
from dataclasses import replace

import pytest

from accel_asr.evaluation.row_losses import RowLosses
from accel_asr.evaluation.row_scores import edit_rate, fit_of, left_out_rows, longest_stretches, rank_rows
from tests.unit.evaluation.made_up_scores import score_pairs

HEARD_WELL = RowLosses(text_loss=0.5, own_loss=0.5)
RIGHT = ("we meet at nine", "we meet at nine")


def only(pair: tuple[str, str], losses: RowLosses | None, **more):
    (row,) = rank_rows(score_pairs([pair], **more), [losses])
    return row


def test_the_edit_rate_is_of_the_longer_text() -> None:
    assert edit_rate("abcd", "ab") == edit_rate("ab", "abcd") == 0.5
    assert (edit_rate("", ""), edit_rate("", "ab"), edit_rate("ab", ""), edit_rate("ab", "ab")) == (0, 1, 1, 0)


def test_the_fit_is_a_ratio_of_probabilities_of_at_most_one() -> None:
    assert fit_of(RowLosses(text_loss=1.5 + math.log(4), own_loss=1.5)) == pytest.approx(0.25)
    assert fit_of(RowLosses(text_loss=1.0, own_loss=1.5)) == 1


def test_the_score_is_half_of_the_loss_and_half_of_the_letters() -> None:
    assert only(RIGHT, HEARD_WELL).score == 0
    row = only(("abcd", "abxy"), RowLosses(text_loss=2 + math.log(4), own_loss=2))
    assert row.score == pytest.approx(1 - (0.25 + 0.5) / 2)
    assert row.to_json()["score"] == 0.625


def test_a_recording_that_is_hard_to_hear_does_not_rank_like_a_wrong_text() -> None:
    heard = [("come to the house", "come to a mouse"), ("come to the house", "we meet at nine")]
    hard, wrong = RowLosses(text_loss=2.6, own_loss=2.2), RowLosses(text_loss=5.0, own_loss=0.3)
    ranked = rank_rows(score_pairs(heard), [hard, wrong])
    assert [(row.rank, row.row) for row in ranked] == [(1, 1), (2, 0)]
    assert ranked[0].score > 2 * ranked[1].score


def test_equal_rows_keep_their_order_and_the_undecodable_come_first() -> None:
    scored = score_pairs([RIGHT, RIGHT, RIGHT])
    scored[2] = replace(scored[2], transcript=replace(scored[2].transcript, audio_problem="torn"))
    ranked = rank_rows(scored, [HEARD_WELL, HEARD_WELL, None])
    assert [row.row for row in ranked] == [2, 0, 1]
    assert ranked[0].score == 1
    assert ranked[0].reasons == {"undecodable audio": "can't be decoded: torn"}
    assert ranked[0].to_json()["text_loss"] is None


def test_stretches_are_runs_of_words_that_one_side_lacks() -> None:
    assert longest_stretches("one two three four five", "one five") == (3, 0)
    assert longest_stretches("one five", "one two three four five") == (0, 3)
    assert longest_stretches("a b c", "a x c") == (0, 0)
    assert longest_stretches("", "") == (0, 0)


def test_a_text_that_says_more_or_less_than_is_heard() -> None:
    said = "please send the letter before the office closes on friday"
    more = only((said, "please send the letter before the office"), HEARD_WELL)
    assert list(more.reasons) == ["words not heard"]
    assert "3 words" in more.why
    less = only(("please send", said), HEARD_WELL)
    assert list(less.reasons) == ["words not in the text"]
    assert "8 words" in less.why


def test_the_text_of_another_row_is_named() -> None:
    texts = ["the boat left at dawn", "my sister bakes bread", "rain fell all night", "he sold the old car"]
    heard = ["my sister bakes red", "the boat left at dawn", "rain fell all night", "he sold the old car"]
    wrong = RowLosses(text_loss=6.0, own_loss=0.2)
    ranked = rank_rows(score_pairs(list(zip(texts, heard, strict=True))), [wrong, wrong, HEARD_WELL, HEARD_WELL])
    assert {row.row: row.other_row for row in ranked} == {0: "u1", 1: "u0", 2: None, 3: None}
    assert "u1" in next(row for row in ranked if row.row == 0).reasons["another text"]


def test_another_text_that_no_row_has() -> None:
    row = only(("the boat left at dawn", "my sister bakes bread"), RowLosses(text_loss=6.0, own_loss=0.2))
    assert list(row.reasons) == ["another text"]
    assert row.other_row is None


def test_another_language_where_the_model_is_sure() -> None:
    french = replace(HEARD_WELL, language="fr", language_probability=0.98, expected_language="en")
    assert only(RIGHT, french).reasons == {"another language": "another language is spoken: fr (0.98)"}
    assert only(RIGHT, replace(french, language_probability=0.87)).reasons == {}
    assert only(RIGHT, replace(french, language="en")).reasons == {}
    assert only(RIGHT, HEARD_WELL).why == "nothing odd"


def test_a_loop_is_held_against_the_model_and_not_against_the_text() -> None:
    looping = only(("the boat left", "the one, " * 8), RowLosses(text_loss=4.0, own_loss=0.1))
    assert list(looping.reasons) == ["looping transcript"]


def test_what_is_left_out_by_share_and_by_score() -> None:
    losses = [RowLosses(text_loss=loss, own_loss=0.0) for loss in (0.0, 1.0, 2.0, 3.0)]
    ranked = rank_rows(score_pairs([RIGHT] * 4), losses)
    assert [row.row for row in left_out_rows(ranked, worst_share=0.5)] == [3, 2]
    least = (1 - math.exp(-1)) / 2
    assert [row.row for row in left_out_rows(ranked, threshold=least)] == [3, 2, 1]
    assert left_out_rows(ranked) == []
