"""Scores of alignments, from words made by hand."""

import numpy as np
import pytest

from accel_asr.transcription.segments import Segment
from benchmarks.alignment_scores import (
    Truth,
    counterparts,
    coverage,
    pieces,
    row_boundary_errors,
    speech_beside_the_text,
    word_boundary_errors,
)

TRUTH = Truth(
    text="One day, the wood-cutter came. It's late! The end.",
    spoken=(
        Segment(1.0, 3.0, "One day, the wood-cutter came."),
        Segment(4.0, 5.0, "It's late!"),
        Segment(6.0, 7.0, "The end."),
    ),
)
WORDS = [
    Segment(1.1, 1.3, "One"),
    Segment(1.3, 1.6, " day,"),
    Segment(1.6, 1.8, " the"),
    Segment(1.8, 2.2, " wood"),  # another aligner's words end elsewhere
    Segment(2.2, 2.5, "-cutter"),
    Segment(2.5, 2.8, " came."),
    Segment(3.9, 4.2, " It's"),
    Segment(4.2, 5.5, " late!"),
    Segment(6.0, 6.4, " The"),
    Segment(6.4, 7.0, " end."),
]


def test_a_span_is_shared_by_its_letters() -> None:
    assert pieces([Segment(1.0, 2.0, " Wood-Cutter's,")]) == [
        Segment(1.0, pytest.approx(1 + 4 / 11), "wood"),
        Segment(pytest.approx(1 + 4 / 11), pytest.approx(1 + 10 / 11), "cutter"),
        Segment(pytest.approx(1 + 10 / 11), pytest.approx(2.0), "s"),
    ]
    assert pieces([Segment(0.0, 1.0, " -- ")]) == []


def test_errors_of_the_first_and_last_words_of_each_spoken_part() -> None:
    errors = word_boundary_errors(TRUTH, WORDS)
    assert errors.starts_s == pytest.approx([0.1, -0.1, 0.0])
    assert errors.ends_s == pytest.approx([-0.2, 0.5, 0.0])
    assert errors.missing == 0
    assert errors.all_s == pytest.approx([0.1, 0.1, 0.0, 0.2, 0.5, 0.0])
    assert "all of 6: median 0.100 s" in errors.line()


def test_a_boundary_whose_word_was_left_out_is_missing_and_has_no_error() -> None:
    errors = word_boundary_errors(TRUTH, [word for word in WORDS if word.text != " The"][:-1])
    assert errors.starts_s == pytest.approx([0.1, -0.1])
    assert errors.missing == 2


def test_words_that_come_twice_are_told_apart_by_their_order() -> None:
    truth = Truth("no no no yes", (Segment(0.0, 1.0, "no"), Segment(2.0, 3.0, "no no"), Segment(4.0, 5.0, "yes")))
    words = [Segment(0.0, 1.0, "no"), Segment(2.0, 2.5, "no"), Segment(2.5, 3.1, "no"), Segment(4.0, 5.0, "yes")]
    assert word_boundary_errors(truth, words).all_s == pytest.approx([0, 0, 0, 0, 0.1, 0])


def test_only_rows_that_begin_or_end_with_a_spoken_part_count() -> None:
    rows = [
        Segment(0.9, 1.6, "One day,"),
        Segment(1.6, 5.2, "the wood-cutter came. It's late!"),
        Segment(5.9, 7.3, "The end."),
    ]
    errors = row_boundary_errors(TRUTH, rows)
    assert errors.starts_s == pytest.approx([-0.1, -0.1])
    assert errors.ends_s == pytest.approx([0.2, 0.3])


def test_the_text_may_have_more_than_is_spoken() -> None:
    truth = Truth(f"Title. {TRUTH.text} Never said.", TRUTH.spoken, unspoken=("Title.", "Never said."))
    assert word_boundary_errors(truth, WORDS).starts_s == pytest.approx([0.1, -0.1, 0.0])
    rows = [Segment(0.0, 3.0, "Title. One day, the wood-cutter came.")]
    found = coverage(truth, rows, ["One day the wood cutter came"], normalize=str.casefold)
    assert (found.unspoken, found.unspoken_in_rows) == (3, 1)


def test_shares_of_words_in_rows_and_in_rows_that_are_heard() -> None:
    rows = [Segment(1.0, 3.0, "One day, the wood-cutter came."), Segment(4.0, 5.0, "It's late!")]
    truth = Truth(TRUTH.text, TRUTH.spoken, strange=(Segment(3.5, 4.5, "ahem ahem"), Segment(8.0, 9.0, "bye")))
    found = coverage(truth, rows, ["one day, the wood-cutter came.", "is it late?"], normalize=str.casefold)
    assert found.in_rows == pytest.approx(9 / 11)  # one day the wood cutter came it s late the end
    assert found.heard == pytest.approx(6 / 11)
    assert [(row.text, wer, cer) for row, wer, cer in found.bad_rows] == [
        ("It's late!", pytest.approx(1.5), pytest.approx(0.5))  # of 10 characters: 3 inserted, ' to a space, ! to ?
    ]
    assert (found.strange_s, found.strange_in_rows_s) == pytest.approx((2.0, 0.5))


def test_a_wrong_word_of_a_row_is_not_a_word_of_the_text() -> None:
    found = coverage(TRUTH, [Segment(4.0, 5.0, "It's never")], ["it's never"], normalize=str.casefold)
    assert found.in_rows == found.heard == pytest.approx(2 / 11)


def test_speech_beside_the_text_is_told_with_its_time() -> None:
    heard = [Segment(0.0, 3.0, "okay is this on"), Segment(3.0, 5.0, "one day a"), Segment(5.0, 7.0, "woodcutter came")]
    assert speech_beside_the_text("One day the woodcutter came.", heard) == [
        Segment(0.0, pytest.approx(3.0), "okay is this on")
    ]


def test_counterparts_keep_the_order() -> None:
    spoken = pieces([Segment(0.0, 1.0, "b"), Segment(1.0, 2.0, "a")])
    assert len(counterparts("a b", spoken)) == 1
    assert np.isscalar(spoken[0].start_s)
