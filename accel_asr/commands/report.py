"""`accel-asr report RUN_DIR`: write report.html of a run that has ended, was stopped, or is still going on."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from accel_asr.config.command_line import parse_config
from accel_asr.console.printing import OptionParser, say
from accel_asr.errors import UserError
from accel_asr.files.atomic_writes import write_errors_explained

if TYPE_CHECKING:
    from accel_asr.reporting.media import SamplesOf


def build_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = OptionParser(prog="accel-asr report", description=__doc__, allow_abbrev=False)
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR", help="folder of a run, such as runs/quickstart")
    parser.add_argument("--output", type=Path, metavar="FILE", help="where to write it (default RUN_DIR/report.html)")
    parser.add_argument(
        "--step", type=int, metavar="N", help="report the evaluation at this optimizer step (default: the best)"
    )
    return parser


def main(arguments: list[str]) -> int:
    """Make the page; without its audio, and saying so, where the data can no longer be read.

    Raises:
        UserError: not the folder of a run, no evaluation of that step, or the page can't be written.
    """
    options = build_parser().parse_args(arguments)
    from accel_asr.reporting.charts import PLOTS_DIR, draw_charts, write_plots
    from accel_asr.reporting.report_page import REPORT_FILE, write_report
    from accel_asr.reporting.run_records import read_run

    run_dir = options.run_dir
    records = read_run(run_dir, step=options.step)
    samples_of, problem = None, ""
    try:
        samples_of = _open_audio(run_dir)
    except UserError as error:
        problem = " ".join(str(error).split())
        say(f"note: the data can't be opened, so there are no players in the report: {problem}")
    path = options.output or run_dir / REPORT_FILE
    charts = draw_charts(records)
    with write_errors_explained(path, setting="--output"):
        write_report(records, charts, path, samples_of=samples_of, without_audio=problem)
        # a page elsewhere is a second look
        plots = write_plots(charts, run_dir / PLOTS_DIR) if options.output is None else []
    say(f"report      {path} ({path.stat().st_size / 1e6:.1f} MB)")
    if plots:
        say(f"plots       {plots[0].parent} ({', '.join(plot.name for plot in plots)})")
    return 0


def _open_audio(run_dir: Path) -> "SamplesOf":
    """The validation recordings, by the run's own settings and its best model, as the base model may be gone.

    Raises:
        UserError: they can't be opened.
    """
    from accel_asr.files.run_folder import CONFIG_FILE
    from accel_asr.reporting.validation_audio import reopen

    config = parse_config(["--config", str(run_dir / CONFIG_FILE)], trains=False)
    best = run_dir / "best"
    model = replace(config.model, name_or_path=str(best), revision=None) if best.is_dir() else config.model
    return reopen(config.data, model, seed=config.training.seed)
