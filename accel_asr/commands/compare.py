"""`accel-asr compare RUN RUN... [--json FILE|-] [--chart FILE.png|FILE.svg] [--page FILE.html]`."""

import argparse
import json
from pathlib import Path

from accel_asr.console.printing import OptionParser, json_to_print, print_result, say
from accel_asr.errors import UserError
from accel_asr.files.atomic_writes import file_written_whole, to_json, write_errors_explained, write_text

DESCRIPTION = """Runs side by side: scores with intervals, the settings that differ, and whose difference is beyond
chance: paired, on the same utterances, speakers or recordings resampled whole, corrected for the number of comparisons.
Runs that differ only in training.seed are summarised as one recipe. Trains and transcribes nothing. Exit code 0 when
done, 2 for bad input."""
CHART_KINDS = (".png", ".svg")


def build_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = OptionParser(prog="accel-asr compare", description=DESCRIPTION, allow_abbrev=False)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of a run, such as runs/quickstart")
    parser.add_argument("--json", metavar="FILE", help="write all numbers there; - prints them in place of the tables")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="draw the runs, as .png or .svg")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write a page of tables and chart (HTML)")
    return parser


def main(arguments: list[str]) -> int:
    """Compare.

    Raises:
        UserError: not the folders of at least two runs with evaluations, or a file can't be written.
    """
    options = build_parser().parse_args(arguments)
    if options.chart is not None and options.chart.suffix not in CHART_KINDS:
        raise UserError("is neither", setting="--chart", value=options.chart, remedy="name it .png or .svg")
    from accel_asr.reporting.comparison_chart import comparison_chart
    from accel_asr.reporting.comparison_page import render_comparison
    from accel_asr.run_comparison.compared_runs import read_runs
    from accel_asr.run_comparison.comparison_tables import correction_in_words, recipe_in_words, show_runs
    from accel_asr.run_comparison.differences import comparison_of_runs

    record = comparison_of_runs(read_runs(options.runs))
    if options.json not in (None, "-"):
        with write_errors_explained(Path(options.json), setting="--json", remedy="give another file"):
            write_text(Path(options.json), to_json(record, indent=2) + "\n")
    if options.chart is not None:
        chart = comparison_chart(record)
        content = chart.png() if options.chart.suffix == ".png" else chart.svg_file()
        explained = write_errors_explained(options.chart, setting="--chart", remedy="give another file")
        with explained, file_written_whole(options.chart) as beside:
            beside.write_bytes(content)
    if options.page is not None:
        page = render_comparison(
            record,
            comparison_chart(record),
            recipes=list(map(recipe_in_words, record["recipes"])),
            correction=correction_in_words(record),
        )
        with write_errors_explained(options.page, setting="--page", remedy="give another file"):
            write_text(options.page, page)
    if options.json == "-":
        print_result(json_to_print(json.loads(to_json(record)), indent=2))
        return 0
    show_runs(record)
    for label, path in (("chart", options.chart), ("page", options.page)):
        if path is not None:
            say(f"{label:<11} {path}")
    return 0
