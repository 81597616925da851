"""The first lines of a report."""

from pathlib import Path

import pytest

from accel_asr.evaluation.comparing import compare
from accel_asr.reporting.headline import Headline, headline
from accel_asr.reporting.run_records import read_run
from tests.unit.evaluation.made_up_scores import score_pairs
from tests.unit.reporting.made_up_runs import a_run, make_run

SAID = [f"word {number}" for number in range(20)]
RIGHT = list(zip(SAID, SAID, strict=True))
WRONG = [(text, "x y") for text in SAID]
LOOPING = [("pay", "pay " * 9)] * 20
NO_LOOP = [("pay", "pay")] * 20


def headline_of(folder: Path, *, step: int | None = None) -> Headline:
    records = read_run(folder, step=step)
    compared = compare(records.baseline.scored, records.chosen.scored) if records.baseline and records.chosen else None
    return headline(records, compared)


def test_three_utterances_of_which_one_did_not_change_could_be_chance(tmp_path: Path) -> None:
    # with one in 27 resamples only the unchanged one is drawn, and the interval reaches 0
    shown = headline_of(a_run(tmp_path / "run"))
    assert shown.title == "The difference could be chance: 0.00% of the words are wrong now, 62.50% before"
    assert shown.tone == "open"
    assert shown.columns == ["Before training", "Best (step 10)", "Last (step 20)"]
    assert [rate for rate, _ in shown.rows[0].cells] == ["62.50%", "0.00%", "12.50%"]
    assert shown.rows[0].cells[1][1] == "0.0\u20130.0%"
    assert "the best of 2 evaluations" in shown.sentences[-1]
    # another step stands beside the best
    assert headline_of(tmp_path / "run", step=20).columns == ["Before training", "Step 20", "Best (step 10)"]


def test_an_average_of_the_weights_may_be_the_best(tmp_path: Path) -> None:
    heard = {0: WRONG, 10: WRONG[:9] + RIGHT[9:], 20: WRONG[:8] + RIGHT[8:]}
    evaluations = {step: score_pairs(pairs) for step, pairs in heard.items()}
    averages = {"ema": score_pairs(RIGHT), "average": score_pairs(WRONG[:2] + RIGHT[2:])}
    folder = make_run(tmp_path / "run", evaluations, averages=averages)
    shown = headline_of(folder)
    assert shown.columns == [
        "Before training",
        "Best (moving average at step 20)",
        "Last (step 20)",
        "Mean of steps 10 and 20",
    ]
    assert [rate for rate, _ in shown.rows[0].cells] == ["100.00%", "0.00%", "40.00%", "10.00%"]
    assert "the moving average at step 20 gets none wrong" in shown.sentences[0]
    assert "training.ema_decay" in shown.sentences[1]
    assert "the best of 4 evaluations" in shown.sentences[-1]
    of_step = headline_of(folder, step=20)  # the model of that step, not the average
    assert of_step.columns[1:3] == ["Step 20", "Best (moving average at step 20)"]
    assert "the best of" not in of_step.sentences[-1]


@pytest.mark.parametrize(
    ("before", "now", "tone", "title", "sentence"),
    [
        (WRONG, RIGHT, "good", "Better beyond chance: 0.00% of the words", "gets none wrong"),
        (RIGHT, WRONG, "bad", "Worse beyond chance: 100.00% of the words", "gets about 100 wrong"),
        ([("", "hi")], [("", "")], "open", "The difference is unknown: n/a", "no words to count errors in"),
        # words that nobody said count too: errors for every 100 words, not percent of them
        (
            LOOPING,
            NO_LOOP,
            "good",
            "Better beyond chance: 0.00 word errors for every 100 words now, 800.00",
            "800, more",
        ),
        (NO_LOOP, LOOPING, "bad", "Worse beyond chance: 800.00 word errors for every 100 words", "makes about 800 err"),
    ],
)
def test_the_title_says_what_changed_and_how_sure_that_is(
    tmp_path: Path, before: list, now: list, tone: str, title: str, sentence: str
) -> None:
    shown = headline_of(make_run(tmp_path / "run", {0: score_pairs(before), 10: score_pairs(now)}))
    assert shown.tone == tone
    assert shown.title.startswith(title)
    assert sentence in shown.sentences[0]
    assert shown.columns == ["Before training", "Best and last (step 10)"]
    assert LOOPING not in (before, now) or not any("%" in text for text in (shown.title, shown.sentences[0]))


@pytest.mark.parametrize(
    ("step", "column", "sentence"),
    [
        (10, "Best and last (step 10)", "evaluation.eval_on_start is false"),
        (0, "Before training", "it has not been scored since"),
    ],
)
def test_with_one_evaluation_it_says_what_is_missing(tmp_path: Path, step: int, column: str, sentence: str) -> None:
    shown = headline_of(make_run(tmp_path / "run", {step: score_pairs([("pay the bill", "pay a bill")])}))
    assert (shown.title, shown.columns) == ("33.33% of the words are wrong", [column])
    assert sentence in shown.sentences[1]


def test_a_run_that_ended_early_says_so_unless_it_went_on(tmp_path: Path) -> None:
    metrics = a_run(tmp_path / "run") / "metrics.jsonl"
    line = '{"kind": "early_stop", "step": 20, "epoch": 2, "last_step": 90, "evaluations": 1, "threshold": 0.0}\n'
    assert not [text for text in headline_of(tmp_path / "run").sentences if "early" in text]
    metrics.write_text(metrics.read_text() + line)
    [sentence] = [text for text in headline_of(tmp_path / "run").sentences if "early" in text]
    assert "after step 20 of 90" in sentence
    metrics.write_text(metrics.read_text() + '{"kind": "train", "step": 21, "epoch": 2.1, "loss": 1.0}\n')
    assert not [text for text in headline_of(tmp_path / "run").sentences if "early" in text]
