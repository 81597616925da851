"""The ranking of training rows as a terminal shows it."""

from accel_asr.console.printing import counted, say
from accel_asr.evaluation.row_scores import Ranking
from accel_asr.evaluation.score_tables import score_console, shown

MOST_ROWS = 10
MOST_CHARACTERS = 80


def show_rows(ranking: Ranking) -> None:
    """The worst rows, and what is left out."""
    from rich.table import Table

    if not ranking.rows:
        say("rows       none to rank")
        return
    table = Table(title=f"training rows whose texts fit worst, by {shown(ranking.model)}", title_justify="left")
    table.add_column("score", justify="right")
    table.add_column("row", overflow="fold")
    for column in ("why", "text", "heard"):
        table.add_column(column, overflow="fold", ratio=1)
    for row in ranking.rows[:MOST_ROWS]:
        transcript = row.scored.transcript
        cells = (transcript.utterance_id, row.why, transcript.reference, transcript.hypothesis)
        table.add_row(f"{row.score:.2f}", *(_cut(shown(cell)) for cell in cells))
    score_console().print(table)
    with_reason = sum(bool(row.reasons) for row in ranking.rows)
    say(f"rows       {len(ranking.rows):,} ranked, {with_reason:,} with a reason to look; --json FILE has all of them")
    if ranking.left_out:
        least = ranking.left_out[-1].score
        say(f"left out   {counted(len(ranking.left_out), 'row')}, those with a score of {least:.2f} and more")
        for reason, count in ranking.kinds(ranking.left_out).items():
            say(f"           {count:,}: {reason}")


def _cut(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"
