"""The charts of a run: what they show, as SVG inside a page and as PNG for papers."""

import math
import re
import warnings
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from accel_asr.reporting.chart_figures import Chart
from accel_asr.reporting.charts import (
    LOSS,
    MAX_POINTS,
    PLOTS_DIR,
    WER,
    Series,
    draw_charts,
    line_chart,
    thinned,
    write_plots,
)
from accel_asr.reporting.run_records import read_run
from tests.unit.evaluation.made_up_scores import score_pairs
from tests.unit.reporting.made_up_runs import a_run, make_run

NONE = (math.nan, math.nan)
SCRIPT = '<script id="x_1">alert("#0a58ca")</script>'


def series(*points: tuple[float, float], band: tuple[float, float] = NONE) -> Series:
    return Series("", np.array([(*point, *band) for point in points]))


def axes_of(chart: Chart | None):
    assert chart is not None
    return chart.figure.axes[0]


def test_a_chart_says_in_words_what_it_shows() -> None:
    chart = line_chart(LOSS, [series((10, 2.0), (20, 0.5), (30, 1.0))])
    assert chart is not None
    assert chart.description == "2 at step 10, lowest 0.5 at step 20, then 1 at step 30"
    rising = line_chart(WER, [series((10, 0.1), (20, 0.25))])
    assert rising is not None
    assert rising.description == "lowest 10% at step 10, then 25% at step 20"


def test_lines_band_and_ring_are_where_the_numbers_are() -> None:
    axes = axes_of(line_chart(WER, [series((0, 0.4), (50, 0.2), band=(0.1, 0.5))], ring_at=50))
    line, ring = axes.lines
    assert line.get_xydata().tolist() == [[0, 0.4], [50, 0.2]]
    assert ring.get_xydata().tolist() == [[50, 0.2]]
    assert axes.collections[0].get_paths()[0].get_extents().bounds == pytest.approx((0, 0.1, 50, 0.4))
    assert axes.get_ylim() == pytest.approx((0, 1.05 * 0.5))


def test_a_very_wide_interval_does_not_press_the_line_flat() -> None:
    assert axes_of(line_chart(WER, [series((0, 0.4), (1, 0.2), band=(0.1, 60.0))])).get_ylim()[1] < 0.7


@pytest.mark.parametrize("rows", [[], [(1, 1.0)], [(1, 0.0), (2, 0.0)]])
def test_any_number_of_points_can_be_drawn(rows: list[tuple[float, float]]) -> None:
    chart = line_chart(WER, [series(*rows) if rows else Series("", np.empty((0, 4)))])
    assert (chart is None) == (not rows)
    if chart is not None:
        ElementTree.fromstring(chart.svg())


def test_a_long_line_is_smoothed_and_says_so() -> None:
    rows = series(*((float(step), float(step % 2)) for step in range(2 * MAX_POINTS + 1)))
    assert len(thinned(rows.rows)) <= MAX_POINTS
    assert thinned(rows.rows)[0, :2] == pytest.approx([1.0, 1 / 3])  # of steps 0, 1, 2
    chart = line_chart(LOSS, [rows])
    assert chart is not None
    assert chart.description.endswith("Each point is the mean of 3 values")


def test_a_part_of_endless_loops_does_not_make_the_other_bars_tiny(tmp_path: Path) -> None:
    loops = score_pairs([("a", "b " * 1_000)], columns={"speaker": "ann"})
    run = make_run(tmp_path / "run", {10: loops + score_pairs([("a b", "a x")], columns={"speaker": "bob"})})
    axes = axes_of(draw_charts(read_run(run)).parts["speaker"])
    assert [bar.get_width() for bar in axes.patches] == [1000, 0.5]
    assert axes.get_xlim()[1] < 2


def test_a_chart_in_a_page_takes_its_colours_shares_no_ids_and_escapes_its_texts(tmp_path: Path) -> None:
    scored = [score_pairs([("a", "b")], columns={"speaker": name})[0] for name in (SCRIPT[:20], "$x^{$", "口座")]
    charts = draw_charts(read_run(make_run(tmp_path / "run", {0: scored, 10: scored}, train_steps=3)))
    svgs = [chart.svg() for chart in (*charts.curves, *charts.parts.values())]
    assert len(svgs) == 6
    for svg in svgs:
        ElementTree.fromstring(svg)
        assert "var(--blue)" in svg
        assert not re.search("<style|<script|<metadata|(style|fill|stroke)=[^>]*#[0-9a-f]{6}", svg)
    ids = [name for svg in svgs for name in set(re.findall(r' id="([^"]*)"', svg))]
    assert len(ids) == len(set(ids))
    texts = [text.text or "" for text in ElementTree.fromstring(svgs[-1]).iter("{http://www.w3.org/2000/svg}text")]
    assert {f"{SCRIPT[:20]} (1)", "$x^{$ (1)", "口座 (1)"} <= set(texts)


def test_every_chart_is_a_png_of_300_dots_an_inch(tmp_path: Path) -> None:
    scored = score_pairs([("a", "b")], columns={"speaker": "$x^{$"})
    scored += score_pairs([("a", "a")], columns={"speaker": "口座"})
    run = make_run(tmp_path / "run", {0: scored, 10: scored}, train_steps=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # about a glyph that the font lacks, or a formula that is none
        plots = write_plots(draw_charts(read_run(run)), run / PLOTS_DIR)
    names = ["word_error_rate", "character_error_rate", "loss", "learning_rate", "gradient_norm", "wer_by_speaker"]
    assert [path.name for path in plots] == [f"{name}.png" for name in names]
    for path in plots:
        with Image.open(path) as image:
            assert round(image.info["dpi"][0]) == 300
            assert image.width == 1050  # 3.5 inches, a column
            darkest, brightest = image.convert("L").getextrema()
            assert darkest < brightest  # something is drawn
    assert sorted((run / PLOTS_DIR).iterdir()) == sorted(plots)


def test_columns_whose_names_are_no_file_names_do_not_overwrite_each_other(tmp_path: Path) -> None:
    columns = ({"a/b": "1", "a b": "1", "../x": "1"}, {"a/b": "2", "a b": "2", "../x": "2"})
    scored = [score_pairs([("a", "b")], columns=cells)[0] for cells in columns]
    charts = draw_charts(read_run(make_run(tmp_path / "run", {10: scored})))
    assert {chart.name for chart in charts.parts.values()} == {"wer_by_a_b", "wer_by_a_b_", "wer_by__x"}


def test_nothing_is_drawn_without_numbers_and_no_setting_of_matplotlib_stays_changed(tmp_path: Path) -> None:
    from matplotlib import rcParams

    before = dict(rcParams)
    assert draw_charts(read_run(make_run(tmp_path / "empty", {}, finished=False))).curves == []
    write_plots(draw_charts(read_run(a_run(tmp_path / "run"))), tmp_path)
    assert dict(rcParams) == before
