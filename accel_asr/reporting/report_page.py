"""report.html: one file that needs no other, made from a run folder, with audio if the data can be read."""

import shlex
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from accel_asr import __version__
from accel_asr.console.printing import counted
from accel_asr.console.public_text import public, visible_lines
from accel_asr.evaluation.blocks import blocks_in_words
from accel_asr.evaluation.breakdowns import ENOUGH_UTTERANCES
from accel_asr.evaluation.comparing import compare
from accel_asr.evaluation.run_files import weights_in_words
from accel_asr.files.atomic_writes import write_text
from accel_asr.model.parts import parameters_in_words
from accel_asr.reporting import wording
from accel_asr.reporting.charts import Charts
from accel_asr.reporting.confidence_section import confidence_section
from accel_asr.reporting.data_tables import data_account
from accel_asr.reporting.error_sections import breakdown_tables, frequent_confusions, odd_kinds
from accel_asr.reporting.guard_table import guard_table
from accel_asr.reporting.headline import headline
from accel_asr.reporting.keywords_section import keywords_section
from accel_asr.reporting.long_form_section import long_form_section
from accel_asr.reporting.media import Clips, SamplesOf
from accel_asr.reporting.no_speech_section import no_speech_section
from accel_asr.reporting.run_records import RunRecords
from accel_asr.reporting.trade_off import trade_off
from accel_asr.reporting.utterance_cards import MAX_IMPROVED, MAX_WORSENED, CardMaker, worst_utterances
from accel_asr.reporting.word_marks import shown_text

REPORT_FILE = "report.html"
TEMPLATE = "report_template.html"
MAX_BYTES = 10_000_000
MAX_WORD = 80  # characters of a word in the table of confusions


def write_report(
    records: RunRecords,
    charts: Charts,
    path: Path,
    *,
    samples_of: SamplesOf | None = None,
    without_audio: str = "",
) -> Path:
    """Write the page, complete or not at all; returns `path`.

    Args:
        samples_of: Decodes the utterance of an id, and is asked only for those shown. None: no players.
        without_audio: Why `samples_of` is None, for the reader.

    Raises:
        OSError: it can't be written.
    """
    write_text(path, render(records, charts, samples_of=samples_of, without_audio=without_audio))
    return path


def render(records: RunRecords, charts: Charts, *, samples_of: SamplesOf | None = None, without_audio: str = "") -> str:
    """The page as HTML. The arguments are those of `write_report`."""
    chosen, baseline = records.chosen, records.baseline
    comparison = compare(baseline.scored, chosen.scored) if chosen and baseline else None
    clips = Clips(samples_of, reason=without_audio)
    cards = CardMaker(clips, run_language=records.config.get("model", {}).get("language"))
    # in the page's order: the first card of an utterance has its player
    worst = [cards.of_utterance(utterance) for utterance in worst_utterances(chosen.scored)] if chosen else []
    improved = [cards.of_change(change) for change in comparison.improved[:MAX_IMPROVED]] if comparison else []
    worsened = [cards.of_change(change) for change in comparison.worsened[:MAX_WORSENED]] if comparison else []
    page = page_environment().get_template(TEMPLATE)
    text = page.render(
        records=records,
        chosen=chosen,
        chosen_in_words=weights_in_words(chosen.record).capitalize() if chosen else "",
        comparison=comparison,
        name=records.run_dir.resolve().name,
        headline=headline(records, comparison),
        guards=guard_table(records),
        keywords=keywords_section(records),
        confidence=confidence_section(records),
        no_speech=no_speech_section(records),
        trade_off=trade_off(records),
        long_form=long_form_section(records),
        charts=charts,
        data=data_account(records),
        breakdowns=breakdown_tables(chosen, baseline) if chosen else [],
        confusions=frequent_confusions(chosen) if chosen else [],
        odd_kinds=odd_kinds(chosen, baseline) if chosen else [],
        worst=worst,
        improved=improved,
        worsened=worsened,
        clips=clips,
        settings=settings_tables(records),
        command=public(shlex.join(records.environment.get("command", []))),
        language=cards.language,
        version=__version__,
        made_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        max_word=MAX_WORD,
        blocks=blocks_in_words(chosen.record) if chosen else None,
        enough_utterances=ENOUGH_UTTERANCES,
    )
    return visible_lines(text)  # names of files, columns and all


def settings_tables(records: RunRecords) -> dict[str, list[tuple[str, str]]]:
    """(name, value) of each setting, version and part of the machine, by topic."""
    config, environment = dict(records.config), dict(records.environment)
    sections = {"Training": "training", "Model": "model", "Data": "data", "Evaluation": "evaluation"}
    tables = {
        topic: wording.setting_rows(config.pop(section, {}), prefix=f"{section}.")
        for topic, section in sections.items()
    }
    tables["Everything else"] = wording.setting_rows(config)
    if "parameters" in environment:  # else it is a run of an earlier version
        tables["Model"].append(("trained parameters", parameters_in_words(environment.pop("parameters"))))
    environment.pop("command", None)  # shown above the tables
    tables["Versions"] = wording.setting_rows(environment.pop("packages", {}))
    tables["Machine"] = wording.setting_rows(environment)
    return {topic: rows for topic, rows in tables.items() if rows}


def page_environment() -> Environment:
    """Every text is escaped, and an unknown name is an error."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(counted=counted, wording=wording, shown_text=shown_text)
    return environment
