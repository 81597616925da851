"""Pictures for papers."""

import warnings
from pathlib import Path

from PIL import Image

from accel_asr.reporting.plots import write_plots
from accel_asr.reporting.run_records import read_run
from tests.unit.evaluation.made_up_scores import score_pairs
from tests.unit.reporting.made_up_runs import a_run, make_run


def test_every_curve_and_breakdown_is_a_png_of_300_dots_an_inch(tmp_path: Path) -> None:
    scored = score_pairs([("a", "b")], columns={"speaker": "$x^{$"}) + score_pairs(
        [("a", "a")], columns={"speaker": "口座"}
    )
    folder = make_run(tmp_path / "run", {0: scored, 10: scored}, train_steps=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of a glyph that the font does not have, or a formula that is none
        plots = write_plots(read_run(folder))
    assert [path.name for path in plots] == [
        "word_error_rate.png",
        "character_error_rate.png",
        "loss.png",
        "learning_rate.png",
        "gradient_norm.png",
        "wer_by_speaker.png",
    ]
    for path in plots:
        with Image.open(path) as image:
            assert round(image.info["dpi"][0]) == 300
            assert image.width == 1050  # 3.5 inches, a column
            colours = image.convert("L").getextrema()
            assert colours[0] < colours[1]  # something is drawn
    assert sorted(path.name for path in (folder / "plots").iterdir()) == sorted(path.name for path in plots)


def test_columns_whose_names_are_no_file_names_do_not_write_over_each_other(tmp_path: Path) -> None:
    columns = ({"a/b": "1", "a b": "1", "../x": "1"}, {"a/b": "2", "a b": "2", "../x": "2"})
    scored = [score_pairs([("a", "b")], columns=cells)[0] for cells in columns]
    plots = write_plots(read_run(make_run(tmp_path / "run", {10: scored})))
    assert {path.name for path in plots} >= {"wer_by_a_b.png", "wer_by_a_b_.png", "wer_by__x.png"}
    assert {path.parent for path in plots} == {tmp_path / "run" / "plots"}


def test_a_run_without_a_line_has_no_plots(tmp_path: Path) -> None:
    assert write_plots(read_run(make_run(tmp_path / "run", {}, finished=False))) == []


def test_no_global_state_of_matplotlib_is_touched(tmp_path: Path) -> None:
    from matplotlib import rcParams

    before = dict(rcParams)
    write_plots(read_run(a_run(tmp_path / "run")))
    assert dict(rcParams) == before
