"""Where the marks of a chart stand."""

import math

import pytest

from accel_asr.reporting.charts import (
    BAR_WIDTH,
    BOTTOM,
    HEIGHT,
    LEFT,
    MAX_POINTS,
    RIGHT,
    TOP,
    WIDTH,
    Series,
    bar,
    line_chart,
    nice_marks,
    thin,
)
from accel_asr.reporting.wording import percent_tick, small


def test_the_first_and_last_point_are_at_the_ends_of_the_axes() -> None:
    chart = line_chart("WER", [Series([(0, 0.4), (50, 0.1), (100, 0.0)])], label=percent_tick, from_zero=True)
    assert chart is not None
    first, _, last = chart.lines[0].dots
    assert first == (LEFT, TOP)
    assert last == (WIDTH - RIGHT, HEIGHT - BOTTOM)
    assert [tick.label for tick in chart.y_ticks] == ["0%", "10%", "20%", "30%", "40%"]
    assert (chart.x_ticks[0].label, chart.x_ticks[-1].label) == ("0", "100")


def test_a_chart_says_in_words_what_it_shows() -> None:
    chart = line_chart("Loss", [Series([(10, 2.0), (20, 0.5), (30, 1.0)])], label=small)
    assert chart is not None
    assert chart.told == "Loss: 2 at step 10, lowest 0.5 at step 20, 1 at step 30"


def test_a_value_that_is_not_finite_is_left_out_and_nothing_is_no_chart() -> None:
    chart = line_chart("Loss", [Series([(1, math.nan), (2, 1.0)])], label=small)
    assert chart is not None
    assert len(chart.lines[0].dots) == 1
    assert line_chart("Loss", [Series([(1, math.nan)]), Series([])], label=small) is None


def test_a_band_goes_along_the_upper_bounds_and_back_along_the_lower() -> None:
    series = Series([(0, 0.5), (10, 0.5)], band=[(0.0, 1.0), (0.0, 1.0)])
    chart = line_chart("WER", [series], label=percent_tick)
    assert chart is not None
    left, right, top, bottom = LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM
    assert chart.lines[0].band == f"{left},{top} {right},{top} {right},{bottom} {left},{bottom}"


def test_an_interval_that_is_far_longer_than_the_line_is_high_does_not_press_it_flat() -> None:
    chart = line_chart("WER", [Series([(0, 0.4), (1, 0.2)], band=[(0.1, 60.0), (0.1, 0.3)])], label=percent_tick)
    assert chart is not None
    assert chart.y_ticks[-1].label == "60%"
    assert min(float(pair.split(",")[1]) for pair in chart.lines[0].band.split()) == TOP  # it ends at the edge


def test_a_long_line_is_smoothed_and_says_so() -> None:
    points = [(float(step), float(step % 2)) for step in range(2 * MAX_POINTS + 1)]
    thinned = thin(Series(points))
    assert len(thinned.points) <= MAX_POINTS
    assert thinned.points[0] == (1.0, pytest.approx(1 / 3))  # of steps 0, 1, 2
    chart = line_chart("Loss", [Series(points)], label=small)
    assert chart is not None
    assert (chart.averaged, chart.lines[0].dots) == (3, [])


def test_marks_are_round_and_there_are_two_at_least() -> None:
    assert nice_marks(0.0, 0.43, most=5) == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])
    assert nice_marks(7, 7, most=5, whole=True) == [7, 8]
    assert nice_marks(-1.0, -1.0, most=2) == [-2, -1, 0]
    assert len(nice_marks(0.0, 0.0, most=5)) >= 2


def test_a_bar_ends_at_its_rate_and_no_interval_leaves_the_scale() -> None:
    drawn = bar(0.1, (0.05, 0.9), highest=0.4)
    assert drawn is not None
    assert (drawn.length, drawn.low, drawn.high) == (BAR_WIDTH / 4, BAR_WIDTH / 8, BAR_WIDTH)
    assert bar(math.nan, (math.nan, math.nan), highest=0.4) is None
    assert bar(0.0, (0.0, 0.0), highest=0.0) is None
