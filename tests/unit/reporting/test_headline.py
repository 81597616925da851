"""The first lines of a report."""

from pathlib import Path

from accel_asr.evaluation.comparing import compare
from accel_asr.reporting.headline import Headline, headline
from accel_asr.reporting.run_records import read_run
from tests.unit.evaluation.made_up_scores import score_pairs
from tests.unit.reporting.made_up_runs import a_run, make_run


def headline_of(folder: Path, *, step: int | None = None) -> Headline:
    records = read_run(folder, step=step)
    compared = compare(records.baseline.scored, records.chosen.scored) if records.baseline and records.chosen else None
    return headline(records, compared)


def test_three_utterances_of_which_one_did_not_change_could_be_chance(tmp_path: Path) -> None:
    # with one in 27 resamples only the unchanged one is drawn, and the interval reaches 0
    told = headline_of(a_run(tmp_path / "run"))
    assert told.title == "The difference could be chance: 0.00% of the words are wrong now, 62.50% before"
    assert told.tone == "open"
    assert told.columns == ["Before training", "Best (step 10)", "Last (step 20)"]
    wer = told.rows[0]
    assert [cell.rate for cell in wer.cells] == ["62.50%", "0.00%", "12.50%"]
    assert wer.cells[1].interval == "0.0\u20130.0%"
    assert any("chosen as the best of 2 evaluations" in sentence for sentence in told.sentences)


def test_a_clear_difference_is_told_as_one(tmp_path: Path) -> None:
    said = [f"word {number}" for number in range(20)]
    right, wrong = list(zip(said, said, strict=True)), [(text, "x y") for text in said]
    better = make_run(tmp_path / "better", {0: score_pairs(wrong), 10: score_pairs(right)})
    worse = make_run(tmp_path / "worse", {0: score_pairs(right), 10: score_pairs(wrong)})
    assert headline_of(better).tone == "good"
    assert headline_of(better).title.startswith("Better beyond chance: 0.00%")
    assert headline_of(better).columns == ["Before training", "Best and last (step 10)"]
    assert headline_of(worse).tone == "bad"
    assert headline_of(worse).title.startswith("Worse beyond chance: 100.00%")


def test_without_a_baseline_it_says_that_the_gain_is_not_known(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", {10: score_pairs([("pay the bill", "pay a bill")])})
    told = headline_of(folder)
    assert told.title == "33.33% of the words are wrong"
    assert any("evaluation.eval_on_start is false" in sentence for sentence in told.sentences)


def test_a_run_that_has_only_its_baseline_tells_of_it(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", {0: score_pairs([("pay the bill", "pay a bill")])}, finished=False)
    assert headline_of(folder).columns == ["Before training"]
    assert any("before training; it has not been scored since" in told for told in headline_of(folder).sentences)


def test_another_step_stands_beside_the_best(tmp_path: Path) -> None:
    told = headline_of(a_run(tmp_path / "run"), step=20)
    assert told.columns == ["Before training", "Step 20", "Best (step 10)"]


def test_where_there_are_no_words_there_is_no_rate(tmp_path: Path) -> None:
    told = headline_of(make_run(tmp_path / "run", {0: score_pairs([("", "hi")]), 10: score_pairs([("", "")])}))
    assert "No difference can be told" in told.title
    assert told.sentences[0].startswith("There was nothing to count errors in")
    assert told.rows[0].cells[0].rate == "n/a"


def test_a_model_that_makes_up_words_has_errors_for_every_100_words_not_percent_of_them(tmp_path: Path) -> None:
    looping, right = [("pay", "pay " * 9)] * 20, [("pay", "pay")] * 20
    mended = headline_of(make_run(tmp_path / "mended", {0: score_pairs(looping), 10: score_pairs(right)}))
    assert mended.title == "Better beyond chance: 0.00 word errors for every 100 words now, 800.00 before"
    assert (
        "Of 100 words that were said, the model of step 10 gets none wrong; before training it was about 800"
        in (mended.sentences[0])
    )
    assert "words that nobody said count too" in mended.sentences[0]
    spoilt = headline_of(make_run(tmp_path / "spoilt", {0: score_pairs(right), 10: score_pairs(looping)}))
    assert "800.00 word errors for every 100 words now, 0.00 before" in spoilt.title
    assert "For every 100 words that were said, the model of step 10 makes about 800 errors" in spoilt.sentences[0]
    assert not any("%" in sentence for sentence in (spoilt.title, spoilt.sentences[0]))
