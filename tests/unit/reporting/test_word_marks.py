"""Aligned words as a page marks them."""

from accel_asr.reporting.word_marks import MAX_SHOWN, MAX_TEXT, MAX_UNFOLDED, Mark, has_no_spaces, marked, shown_text
from tests.unit.evaluation.made_up_scores import score_pairs


def marks(said: str, heard: str):
    return marked(score_pairs([(said, heard)])[0])


def test_each_kind_of_edit_is_marked() -> None:
    assert marks("pay the bill now", "please pay a bill").shown == [
        Mark("insert", "", "please"),
        Mark("equal", "pay", "pay"),
        Mark("substitute", "the", "a"),
        Mark("equal", "bill", "bill"),
        Mark("delete", "now", ""),
    ]


def test_texts_without_spaces_are_aligned_by_characters() -> None:
    said = "口座の残高を教えてくださいお願いします"
    text = marks(said, said.replace("残", "算"))
    assert text.unit == "character"
    assert Mark("substitute", "残", "算") in text.shown
    assert "".join(mark.said for mark in text.shown) == said
    assert not has_no_spaces("Donaudampfschifffahrt ist ein langes Wort")
    assert not has_no_spaces("")


def test_a_long_transcript_is_folded_and_a_very_long_one_is_cut() -> None:
    text = marks("a", " ".join(["a"] + ["again"] * 2_000))
    shown, folded = (sum(len(mark.heard.split()) for mark in part) for part in (text.shown, text.folded))
    assert (shown, shown + folded, text.left_out) == (MAX_SHOWN, MAX_UNFOLDED, 2_001 - MAX_UNFOLDED)
    assert len(text.shown) == 2  # neighbours under one edit are one mark


def test_a_long_text_says_how_much_of_it_is_missing() -> None:
    assert (shown_text("x" * 10_000).left_out, len(shown_text("x" * 10_000).text)) == (10_000 - MAX_TEXT, MAX_TEXT)
    assert shown_text("hello").left_out == 0
