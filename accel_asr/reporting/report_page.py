"""report.html: one file that stands alone, made of what a run folder holds and of the audio where it can be had."""

import shlex
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from accel_asr import __version__
from accel_asr.console.public_text import public, visible_lines
from accel_asr.evaluation.comparing import compare
from accel_asr.files.atomic_writes import write_text
from accel_asr.reporting import wording
from accel_asr.reporting.charts import BAR_WIDTH
from accel_asr.reporting.curves import draw_curves
from accel_asr.reporting.data_tables import data_account
from accel_asr.reporting.error_sections import breakdown_tables, frequent_confusions, odd_kinds
from accel_asr.reporting.headline import headline
from accel_asr.reporting.media import Clips, SamplesOf
from accel_asr.reporting.run_records import RunRecords
from accel_asr.reporting.utterance_cards import CardMaker, improved_and_worsened, worst_utterances
from accel_asr.reporting.word_marks import shown_text

REPORT_FILE = "report.html"
TEMPLATE = "report_template.html"
MAX_BYTES = 10_000_000
MAX_WORD = 80  # characters of a word in the table of confusions


@dataclass(frozen=True)
class Written:
    """Where the page is, how large, and why it has no players (empty where it has)."""

    path: Path
    size_bytes: int
    without_audio: str


def write_report(
    records: RunRecords, path: Path, *, samples_of: SamplesOf | None = None, without_audio: str = ""
) -> Written:
    """Make the page and write it, complete or not at all.

    Args:
        samples_of: Decodes the utterance of an id; only those that are shown are asked for. None: no players.
        without_audio: Why `samples_of` is None, for the reader.
    """
    text = render(records, samples_of=samples_of, without_audio=without_audio)
    write_text(path, text)
    return Written(path, len(text.encode("utf-8")), "" if samples_of else without_audio)


def render(records: RunRecords, *, samples_of: SamplesOf | None = None, without_audio: str = "") -> str:
    """The page as HTML. Its arguments are those of `write_report`."""
    chosen = records.chosen
    comparison = compare(records.baseline.scored, chosen.scored) if chosen and records.baseline else None
    clips = Clips(samples_of, reason=without_audio)
    cards = CardMaker(clips, run_language=records.config.get("model", {}).get("language"))
    worst = [cards.of_utterance(one) for one in worst_utterances(chosen.scored)] if chosen else []
    improved, worsened = improved_and_worsened(comparison) if comparison else ([], [])
    context: dict[str, Any] = {
        "records": records,
        "chosen": chosen,
        "comparison": comparison,
        "name": records.run_dir.resolve().name,
        "headline": headline(records, comparison),
        "charts": draw_curves(records),
        "data": data_account(records),
        "breakdowns": breakdown_tables(chosen, records.baseline) if chosen else [],
        "confusions": frequent_confusions(chosen) if chosen else [],
        "odd_kinds": odd_kinds(chosen, records.baseline) if chosen else [],
        "worst": worst,
        "improved": [cards.of_change(change) for change in improved],
        "worsened": [cards.of_change(change) for change in worsened],
        "clips": clips,
        "settings": settings_tables(records),
        "command": command_of(records),
        "language": cards.language,
        "version": __version__,
        "made_at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "bar_width": BAR_WIDTH,
        "max_word": MAX_WORD,
    }
    return visible_lines(environment().get_template(TEMPLATE).render(context))  # names of files, columns and all


def environment() -> Environment:
    """Every text is escaped, wherever it stands; a name that is not known is an error."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(wording=wording, shown_text=shown_text)
    return made


def settings_tables(records: RunRecords) -> dict[str, list[tuple[str, str]]]:
    """(name, value) of what the run was made with, by topic."""
    config, found = dict(records.config), dict(records.environment)
    tables = {"Training": wording.setting_rows(config.pop("training", {}), prefix="training.")}
    tables["Model"] = wording.setting_rows(config.pop("model", {}), prefix="model.")
    tables["Data"] = wording.setting_rows(config.pop("data", {}), prefix="data.")
    tables["Evaluation"] = wording.setting_rows(config.pop("evaluation", {}), prefix="evaluation.")
    tables["Everything else"] = wording.setting_rows(config)
    found.pop("command", None)
    tables["Versions"] = wording.setting_rows(found.pop("packages", {}))
    tables["Machine"] = wording.setting_rows(found)
    return {topic: rows for topic, rows in tables.items() if rows}


def command_of(records: RunRecords) -> str:
    """The command line that started the run, without what may be a secret."""
    return public(shlex.join(records.environment.get("command", [])))
