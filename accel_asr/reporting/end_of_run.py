"""The report at the end of training: by the main process alone, and never the reason that a finished run fails."""

from collections.abc import Callable
from pathlib import Path

from accel_asr.data.selection.utterances import Utterances


def report_finished_run(run_dir: Path, validation: Utterances, *, say: Callable[[str], object]) -> Path | None:
    """Write report.html and plots/; returns the page's path, None where it could not be written, which is said.

    The main process calls this after the last collective, so that nobody waits for it.

    Args:
        validation: What was scored; only those that the page shows are decoded.
    """
    path = None
    try:
        from accel_asr.reporting.plots import write_plots
        from accel_asr.reporting.report_page import REPORT_FILE, write_report
        from accel_asr.reporting.run_records import read_run
        from accel_asr.reporting.validation_audio import samples_by_id

        records = read_run(run_dir)
        path = write_report(records, run_dir / REPORT_FILE, samples_of=samples_by_id(validation)).path
        write_plots(records)
    except Exception as error:  # hours of training are done and saved; whatever it is, it can be tried again
        told = " ".join(str(error).split()) or type(error).__name__
        missing = "plots" if path else "report"
        say(f"the {missing} could not be written ({told}); try again with: accel-asr report {run_dir}")
    return path
