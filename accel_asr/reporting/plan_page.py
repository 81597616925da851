"""The page of a plan, in the report's style: one file that needs no other."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from accel_asr import __version__
from accel_asr.console.public_text import visible_lines
from accel_asr.planning.plan_tables import (
    WAY_COLUMNS,
    confusion_in_words,
    no_speech_cell,
    rate_cell,
    settings_to_add,
    way_cells,
)
from accel_asr.reporting.report_page import page_environment
from accel_asr.run.forecast import duration

TEMPLATE = "plan_template.html"
TITLES = {
    "do nothing": "Do nothing",
    "prompt": "Give it a prompt of your keywords",
    "full": "Fine-tune all weights",
    "encoder": "Fine-tune the encoder",
    "adapters": "Fine-tune with adapters",
}


def render_plan(record: Mapping[str, Any]) -> str:
    """The page as HTML.

    Args:
        record: As `plan_of_run` makes it.
    """
    answer, _, addition = record["answer"].partition(", ")
    title = TITLES.get(answer, answer) + (f", {addition}" if addition else "")
    text = (
        page_environment()
        .get_template(TEMPLATE)
        .render(
            record=record,
            title=title,
            columns=WAY_COLUMNS,
            way_cells=way_cells,
            rate_cell=rate_cell,
            no_speech_cell=no_speech_cell,
            confusion_in_words=confusion_in_words,
            settings=settings_to_add(record) if record["settings"] else "",
            duration=duration,
            version=__version__,
            made_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        )
    )
    return visible_lines(text)
