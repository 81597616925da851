"""The page of runs side by side, in the report's style: one file that needs no other."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from accel_asr import __version__
from accel_asr.console.printing import percent
from accel_asr.console.public_text import visible_lines
from accel_asr.evaluation.blocks import blocks_in_words
from accel_asr.evaluation.score_tables import points
from accel_asr.reporting.chart_figures import Chart
from accel_asr.reporting.report_page import page_environment

TEMPLATE = "comparison_template.html"


def render_comparison(record: Mapping[str, Any], chart: Chart, *, recipes: list[str], correction: str) -> str:
    """The page as HTML.

    Args:
        record: As `comparison_of_runs` makes it; `recipes` and `correction` are its sentences.
    """
    clear = [pair for pair in record["differences"] if pair["verdict"] in ("better", "worse")]
    text = (
        page_environment()
        .get_template(TEMPLATE)
        .render(
            record=record,
            chart=chart,
            recipes=recipes,
            correction=correction,
            blocks=blocks_in_words(record["runs"][0]),
            title=f"{len(clear)} of {len(record['differences'])} differences are beyond chance",
            percent=percent,
            points=points,
            version=__version__,
            made_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        )
    )
    return visible_lines(text)
