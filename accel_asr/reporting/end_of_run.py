"""The report at the end of training, written by the main process alone; no failure here fails a finished run."""

from collections.abc import Callable
from pathlib import Path

from accel_asr.data.selection.utterances import Utterances


def report_finished_run(run_dir: Path, validation: Utterances, *, say: Callable[[str], object]) -> Path | None:
    """Write report.html and plots/; returns the page's path, or None if it could not be written (`say` tells why).

    The main process calls this after the last collective, so that no rank waits for it.

    Args:
        validation: What was scored; only the utterances that the page shows are decoded.
    """
    path = None
    try:
        from accel_asr.reporting.charts import PLOTS_DIR, draw_charts, write_plots
        from accel_asr.reporting.report_page import REPORT_FILE, write_report
        from accel_asr.reporting.run_records import read_run
        from accel_asr.reporting.validation_audio import samples_by_id

        records = read_run(run_dir)
        charts = draw_charts(records)
        path = write_report(records, charts, run_dir / REPORT_FILE, samples_of=samples_by_id(validation))
        write_plots(charts, run_dir / PLOTS_DIR)
    except Exception as error:  # hours of training are done and saved; whatever it is, it can be tried again
        reason = " ".join(str(error).split()) or type(error).__name__
        missing = "plots" if path else "report"
        say(f"the {missing} could not be written ({reason}); try again with: accel-asr report {run_dir}")
    return path
