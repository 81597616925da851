"""The ranking of training rows as a terminal shows it."""

from pathlib import Path

from accel_asr.console.printing import counted, say
from accel_asr.evaluation.row_scores import RankedRow, Ranking
from accel_asr.evaluation.score_tables import score_console, shown

MOST_ROWS = 10
MOST_CHARACTERS = 80
NO_REASON = "words heard otherwise"


def show_rows(ranking: Ranking, *, page: Path | None) -> None:
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
        cells = (transcript.utterance_id, why(row), transcript.reference, transcript.hypothesis)
        table.add_row(f"{row.score:.2f}", *(_cut(shown(cell)) for cell in cells))
    score_console().print(table)
    with_reason = sum(bool(row.reasons) for row in ranking.rows)
    say(f"rows       {len(ranking.rows):,} ranked, {with_reason:,} with a reason to look; --json FILE has all of them")
    if ranking.left_out:
        least = ranking.left_out[-1].score
        say(f"left out   {counted(len(ranking.left_out), 'row')}, those with a score of {least:.2f} and more")
        for reason, count in _counts(ranking.left_out).items():
            say(f"           {count:,}: {reason}")
    if page is not None:
        say(f"page       {page}")


def why(row: RankedRow) -> str:
    """The reasons in one line; what was measured where there is none."""
    words = row.scored.words
    if row.reasons:
        return "; ".join(row.reasons.values())
    if words is not None and words.errors:
        return f"{words.errors:,} of {counted(words.reference_length, 'word')} heard otherwise"
    return "nothing odd"


def _counts(rows: list[RankedRow]) -> dict[str, int]:
    """How many rows have each kind of reason first, by what is said before its details."""
    counts: dict[str, int] = {}
    for row in rows:
        kind = next(iter(row.reasons), NO_REASON)
        counts[kind] = counts.get(kind, 0) + 1
    return dict(sorted(counts.items(), key=lambda pair: -pair[1]))


def _cut(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"
