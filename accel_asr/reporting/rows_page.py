"""The page of the training rows whose texts fit worst, in the report's style: one file that needs no other."""

from datetime import UTC, datetime
from pathlib import Path

from accel_asr import __version__
from accel_asr.console.public_text import visible_lines
from accel_asr.evaluation.row_scores import Ranking
from accel_asr.files.atomic_writes import write_text
from accel_asr.reporting.media import Clips, SamplesOf
from accel_asr.reporting.report_page import page_environment
from accel_asr.reporting.utterance_cards import CardMaker

TEMPLATE = "rows_template.html"
MOST_CARDS = 50


def write_rows_page(ranking: Ranking, path: Path, *, samples_of: SamplesOf, language: str | None) -> None:
    """Write the page, complete or not at all.

    Args:
        samples_of: Decodes the row of an id; asked only for those shown.
        language: Of rows that have none of their own.

    Raises:
        OSError: it can't be written.
    """
    clips = Clips(samples_of)
    maker = CardMaker(clips, run_language=language)
    cards = [maker.of_utterance(row.scored, heading=f"{row.score:.2f}: {row.why}") for row in ranking.rows[:MOST_CARDS]]
    left_out = ranking.kinds(ranking.left_out)
    kinds = [(kind, count, left_out.get(kind, 0)) for kind, count in ranking.kinds(ranking.rows).items()]
    text = (
        page_environment()
        .get_template(TEMPLATE)
        .render(
            ranking=ranking,
            cards=cards,
            clips=clips,
            kinds=kinds,
            version=__version__,
            made_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        )
    )
    write_text(path, visible_lines(text))
