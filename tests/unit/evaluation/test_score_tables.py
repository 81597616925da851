"""What a terminal is given of the scores: texts of the data are only printed, whatever is in them."""

import re
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest

from accel_asr.console.printing import table_console
from accel_asr.evaluation.comparing import compare
from accel_asr.evaluation.evaluating import Evaluation
from accel_asr.evaluation.evaluation_sets import EvaluationSet
from accel_asr.evaluation.score_tables import show_comparison, show_details, show_no_speech, show_sets, shown
from accel_asr.evaluation.scoring import ScoredUtterance, corpus_score
from accel_asr.evaluation.set_results import SetResult
from tests.unit.evaluation.made_up_scores import score_pairs


def result_of(scored: list[ScoredUtterance], *, name: str = "calls") -> SetResult:
    evaluated = EvaluationSet(name, "calls", "test", None, utterances=None)  # type: ignore[arg-type]
    return SetResult(evaluated, Evaluation(corpus_score(scored), loss=1.0, seconds=1.0, scored=scored))


def printed(show, *arguments, **named) -> str:
    console = table_console(width=160, file=StringIO())
    show(console, *arguments, **named)
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("value", ["[/red]b", "[bold]c", "[link=x]d[/link]"])
def test_square_brackets_in_cells_and_names_are_no_markup(value: str) -> None:
    scored = score_pairs([("a", "b")], columns={value: value}) + score_pairs([("a", "a")], columns={value: "other"})
    out = printed(show_details, result_of(scored, name=value))
    assert f"{value} by {value}" in out
    assert f"│ {value} " in out
    assert value in printed(show_sets, {value: [result_of(scored)], "other": [result_of(scored)]})
    assert value in printed(show_comparison, compare(scored[:1], scored[:1]), name="x", model=value, other="y")


def test_the_table_says_that_padding_was_merged() -> None:
    result = result_of(score_pairs([("a", "b")]))
    assert "merged" not in printed(show_sets, {"x": [result]})
    merged = replace(result, evaluation=replace(result.evaluation, is_merged=True))
    assert "padding merged" in printed(show_sets, {"x": [merged]})


def test_texts_do_not_steer_the_terminal_and_are_one_line() -> None:
    out = printed(show_details, result_of(score_pairs([("a\x1b[2Jb\nc\u202ed", "a\x1b[2Jb\nc\u202ed extra")])))
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert r"  reference   a\x1b[2Jb\nc\u202ed" + "\n" in out


def test_a_very_long_text_is_cut_and_its_length_told() -> None:
    assert shown("x" * 400) == "x" * 400
    assert shown("x" * 10_000) == "x" * 400 + "... (10,000 characters)"


def no_speech_record(*written: str) -> dict[str, Any]:
    """Of ten clips of hiss and ten of hum; these got the word `you`."""
    kinds = {"hiss": [name for name in written if "hiss" in name], "hum": [name for name in written if "hum" in name]}
    return {
        "clips": 20,
        "with_words": len(written),
        "share": len(written) / 20,
        "share_interval": [0.1, 0.9],
        "by_kind": {kind: {"clips": 10, "with_words": len(names)} for kind, names in kinds.items()},
        "written": dict.fromkeys(written, "you"),
    }


def test_words_where_nobody_speaks_by_kind_and_against_another_model() -> None:
    many = no_speech_record(*(f"hiss {number}" for number in range(8)), "hum 1")
    out = printed(show_no_speech, {"tuned": no_speech_record("hum 1"), "base": many})
    assert re.search(r"all .*1 of 20: 5.00% .*9 of 20: 45.00%", out)
    assert re.search(r"hiss .*0 of 10 .*8 of 10", out)
    assert "from the first only: 0, from the other only: 8: better (exact McNemar test, p = 0.0078)" in out
    assert "1 time you" in out
