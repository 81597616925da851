"""What follows training, on the main process alone: the report, the summary and publishing.

No collective comes after training, so that no rank waits for it. A report that fails never makes the run fail.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from accel_asr.config.settings import Config, HubConfig
from accel_asr.data.selection.utterances import Utterances
from accel_asr.errors import UserError
from accel_asr.model.pretrained import require_finite_folder
from accel_asr.publishing.hub import check_may_push, push_run
from accel_asr.publishing.upload_plan import BEST, BEST_ADAPTER
from accel_asr.ranks.main_process import write_on_main_process
from accel_asr.run.display import Display, note_on_times


def require_may_push(hub: HubConfig, output_dir: Path, *, accelerator: Accelerator, display: Display) -> None:
    """Ask the Hub before training for what it would refuse after it. A collective.

    Raises:
        UserError: the model may not be pushed; on every rank.
    """
    if hub.push_to_hub:
        ask = partial(check_may_push, str(hub.hub_model_id), private=hub.hub_private_repo, say=display.say)
        write_on_main_process(accelerator, output_dir, ask)


def finish_run(
    config: Config, scores: Mapping[str, Mapping[str, Any]], validation: Utterances, *, display: Display
) -> None:
    """Write the report, sum up and publish.

    Args:
        scores: The records of summary.json: `best`, `last` and maybe `baseline`.
        validation: What was scored.

    Raises:
        UserError: the best model could not be pushed.
    """
    output_dir, hub = Path(str(config.output_dir)), config.hub
    report = report_finished_run(output_dir, validation, say=display.say)
    display.show_summary(scores, output_dir, report=report, has_curves="tensorboard" in config.tracking.report_to)
    if config.timestamps_probability == 0:
        display.say(note_on_times())
    if hub.push_to_hub and "best" not in scores:
        raise UserError(
            "there is no best model to push: no evaluation held every guard",
            setting="--hub.push_to_hub",
            value=True,
            remedy="see what was said of evaluation.guards",
        )
    if hub.push_to_hub:
        require_finite_folder(output_dir / (BEST_ADAPTER if hub.push_adapter else BEST))
        address = push_run(
            output_dir,
            hub_model_id=str(hub.hub_model_id),
            private=hub.hub_private_repo,
            revision=hub.hub_revision,
            adapter=hub.push_adapter,
            say=display.say,
        )
        display.say(address)


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
