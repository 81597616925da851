"""Scores of alignments, from words made by hand."""

import numpy as np
import pytest

from benchmarks.alignment_scores import (
    Span,
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
    spoken=(Span(1.0, 3.0, "One day, the wood-cutter came."), Span(4.0, 5.0, "It's late!"), Span(6.0, 7.0, "The end.")),
)
WORDS = [
    Span(1.1, 1.3, "One"),
    Span(1.3, 1.6, " day,"),
    Span(1.6, 1.8, " the"),
    Span(1.8, 2.2, " wood"),  # another aligner's words end elsewhere
    Span(2.2, 2.5, "-cutter"),
    Span(2.5, 2.8, " came."),
    Span(3.9, 4.2, " It's"),
    Span(4.2, 5.5, " late!"),
    Span(6.0, 6.4, " The"),
    Span(6.4, 7.0, " end."),
]


def test_a_span_is_shared_by_its_letters() -> None:
    assert pieces([Span(1.0, 2.0, " Wood-Cutter's,")]) == [
        Span(1.0, pytest.approx(1 + 4 / 11), "wood"),
        Span(pytest.approx(1 + 4 / 11), pytest.approx(1 + 10 / 11), "cutter"),
        Span(pytest.approx(1 + 10 / 11), pytest.approx(2.0), "s"),
    ]
    assert pieces([Span(0.0, 1.0, " -- ")]) == []


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
    truth = Truth("no no no yes", (Span(0.0, 1.0, "no"), Span(2.0, 3.0, "no no"), Span(4.0, 5.0, "yes")))
    words = [Span(0.0, 1.0, "no"), Span(2.0, 2.5, "no"), Span(2.5, 3.1, "no"), Span(4.0, 5.0, "yes")]
    assert word_boundary_errors(truth, words).all_s == pytest.approx([0, 0, 0, 0, 0.1, 0])


def test_only_rows_that_begin_or_end_with_a_spoken_part_count() -> None:
    rows = [Span(0.9, 1.6, "One day,"), Span(1.6, 5.2, "the wood-cutter came. It's late!"), Span(5.9, 7.3, "The end.")]
    errors = row_boundary_errors(TRUTH, rows)
    assert errors.starts_s == pytest.approx([-0.1, -0.1])
    assert errors.ends_s == pytest.approx([0.2, 0.3])


def test_the_text_may_have_more_than_is_spoken() -> None:
    truth = Truth(f"Title. {TRUTH.text} Never said.", TRUTH.spoken, unspoken=("Title.", "Never said."))
    assert word_boundary_errors(truth, WORDS).starts_s == pytest.approx([0.1, -0.1, 0.0])
    rows = [Span(0.0, 3.0, "Title. One day, the wood-cutter came.")]
    found = coverage(truth, rows, ["One day the wood cutter came"], normalize=str.casefold)
    assert (found.unspoken, found.unspoken_in_rows) == (3, 1)


def test_shares_of_words_in_rows_and_in_rows_that_are_heard() -> None:
    rows = [Span(1.0, 3.0, "One day, the wood-cutter came."), Span(4.0, 5.0, "It's late!")]
    truth = Truth(TRUTH.text, TRUTH.spoken, strange=(Span(3.5, 4.5, "ahem ahem"), Span(8.0, 9.0, "bye")))
    found = coverage(truth, rows, ["one day, the wood-cutter came.", "is it late?"], normalize=str.casefold)
    assert found.in_rows == pytest.approx(9 / 11)  # one day the wood cutter came it s late the end
    assert found.heard == pytest.approx(6 / 11)
    assert [(row.text, wer, cer) for row, wer, cer in found.bad_rows] == [
        ("It's late!", pytest.approx(1.5), pytest.approx(0.5))  # of 10 characters: 3 inserted, ' to a space, ! to ?
    ]
    assert (found.strange_s, found.strange_in_rows_s) == pytest.approx((2.0, 0.5))


def test_a_wrong_word_of_a_row_is_not_a_word_of_the_text() -> None:
    found = coverage(TRUTH, [Span(4.0, 5.0, "It's never")], ["it's never"], normalize=str.casefold)
    assert found.in_rows == found.heard == pytest.approx(2 / 11)


def test_speech_beside_the_text_is_told_with_its_time() -> None:
    heard = [Span(0.0, 3.0, "okay is this on"), Span(3.0, 5.0, "one day a"), Span(5.0, 7.0, "woodcutter came")]
    assert speech_beside_the_text("One day the woodcutter came.", heard) == [
        Span(0.0, pytest.approx(3.0), "okay is this on")
    ]


def test_counterparts_keep_the_order() -> None:
    spoken = pieces([Span(0.0, 1.0, "b"), Span(1.0, 2.0, "a")])
    assert len(counterparts("a b", spoken)) == 1
    assert np.isscalar(spoken[0].start_s)
