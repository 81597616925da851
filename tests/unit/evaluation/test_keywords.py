"""Recall, precision and error rate of keywords, counted by hand."""

import math
from dataclasses import replace
from typing import Any

import pytest

from accel_asr.evaluation.keywords import keyword_record
from tests.unit.evaluation.made_up_scores import score_pairs


def counts_of(record: dict[str, Any]) -> tuple[int, int, int]:
    return record["occurrences"], record["hits"], record["false_alarms"]


def test_rates_by_hand() -> None:
    pairs = [
        ("Anna lost her credit card", "anna lost her credit card"),  # both
        ("call Anna about the credit card", "call Hanna about the credit cart"),  # neither
        ("hello there", "hello Anna"),  # a false alarm
        ("a credit card", "a credit the card"),  # a phrase that is torn apart
    ]
    record = keyword_record(score_pairs(pairs), ["Anna", "credit card", "Zurich"], str.lower)
    assert record is not None
    assert counts_of(record) == (5, 2, 1)
    assert record["recall"] == pytest.approx(2 / 5)
    assert record["precision"] == pytest.approx(2 / 3)
    assert record["error_rate"] == pytest.approx(4 / 5)
    low, high = record["recall_interval"]
    assert 0 <= low < 2 / 5 < high <= 1
    by_keyword = record["by_keyword"]
    assert list(by_keyword) == ["Anna", "credit card", "Zurich"], "most errors first, then by name"
    assert {name: counts_of(of_keyword) for name, of_keyword in by_keyword.items()} == {
        "Anna": (2, 1, 1),
        "credit card": (3, 1, 0),
        "Zurich": (0, 0, 0),
    }
    assert math.isnan(by_keyword["Zurich"]["recall"])


def test_a_keyword_counts_only_where_it_stands() -> None:
    pairs = [("Anna went home with all of us today", "went home with all of us today Anna")]
    record = keyword_record(score_pairs(pairs), ["anna"], str.lower)
    assert record is not None
    assert counts_of(record) == (1, 0, 1)


def test_without_keywords_there_is_no_record() -> None:
    assert keyword_record(score_pairs([("a", "a")]), [], str.lower) is None
    assert keyword_record(score_pairs([("a", "a")]), ["?"], lambda text: text.replace("?", "")) is None


def test_a_rows_own_keywords_are_looked_for_in_that_row_alone() -> None:
    first, second = score_pairs([("anna pays", "anna pays"), ("anna pays bob", "emma pays rob")])
    own = replace(first, transcript=replace(first.transcript, keywords=("Anna",)))
    record = keyword_record([own, second], ["bob"], str.lower)
    assert record is not None
    assert (record["occurrences"], record["hits"]) == (2, 1)
    assert record["by_keyword"]["Anna"]["occurrences"] == 1
    assert keyword_record([first, second], [], str.lower) is None
