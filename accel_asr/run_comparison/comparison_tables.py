"""Runs side by side as a terminal of 80 columns shows them."""

import textwrap
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from accel_asr.console.printing import percent, table_console
from accel_asr.console.public_text import visible
from accel_asr.evaluation.blocks import blocks_in_words
from accel_asr.evaluation.score_tables import points, shown, with_interval

MOST_LETTERS = 60  # of a setting's value
WIDTH = 80


def show_runs(record: Mapping[str, Any]) -> None:
    """Print scores, settings that differ, seeds, and differences.

    Args:
        record: As `comparison_of_runs` makes it.
    """
    console = table_console(width=WIDTH)
    table = Table(title="runs, with 95% intervals", title_justify="left")
    for column in ("", "run", "of", "WER", "CER", "before"):
        table.add_column(column, justify="right" if column in ("WER", "CER", "before") else "left", overflow="fold")
    for number, run in enumerate(record["runs"], start=1):
        wer = with_interval(run["wer"], run["wer_interval"]) if "wer_interval" in run else percent(run["wer"])
        table.add_row(
            str(number), shown(run["name"]), run["weights"], wer, percent(run["cer"]), percent(run["baseline_wer"])
        )
    console.print(table)
    words = blocks_in_words(record["runs"][0])
    if words is not None:
        _say(console, f"run 1: {words}")
    console.print("\nsettings that differ" if record["settings"] else "\nall settings are the same")
    for name, values in record["settings"].items():
        console.print(f"  {visible(name)}")
        for value in dict.fromkeys(values):
            runs = [number for number, own in enumerate(values, start=1) if own == value]
            console.print(f"    {numbered(runs)}: {shown(value, most=MOST_LETTERS)}")
    for recipe in record["recipes"]:
        console.print("")
        _say(console, recipe_in_words(recipe))
    if record["differences"]:
        console.print("")
        console.print(_differences_table(record))
        _say(console, correction_in_words(record))
    for pair in record["not_compared"]:
        _say(console, f"{pair['run']} and {pair['other']} are not compared: {pair['reason']}")


def _say(console: Console, text: str) -> None:
    console.print(textwrap.fill(visible(text), WIDTH))


def _differences_table(record: Mapping[str, Any]) -> Table:
    table = Table(title="differences of WER in points, paired, with 95% intervals", title_justify="left")
    for column in ("runs", "difference", "95% interval", "p, corrected"):
        table.add_column(column, justify="left" if column == "runs" else "right")
    table.add_column("")
    for pair in record["differences"]:
        low, high = map(points, pair["interval"])
        table.add_row(
            f"{pair['run']} against {pair['other']}",
            points(pair["difference"]),
            f"{low} to {high}",
            f"{pair['p_value_corrected']:.3f}",
            pair["verdict"],
        )
    return table


def recipe_in_words(recipe: Mapping[str, Any]) -> str:
    """Seeds of one recipe in a sentence."""
    low, high = map(percent, recipe["interval"])
    return (
        f"runs {numbered(recipe['runs'])} are one recipe with seeds {', '.join(map(str, recipe['seeds']))}: "
        f"WER {percent(recipe['mean'])} on average (95% interval over seeds {low} to {high}), "
        f"standard deviation {100 * recipe['sd']:.2f} points, from {percent(recipe['lowest'])} to "
        f"{percent(recipe['highest'])}"
    )


def correction_in_words(record: Mapping[str, Any]) -> str:
    """What `better` and `worse` mean here."""
    count = len(record["differences"])
    if count == 1:
        return "better or worse only beyond chance"
    return f"better or worse only beyond chance, corrected for {count} comparisons (Holm); intervals are not corrected"


def numbered(runs: list[int]) -> str:
    """`1, 3 and 4`."""
    *most, last = map(str, runs)
    return f"{', '.join(most)} and {last}" if most else last
