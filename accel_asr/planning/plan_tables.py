"""A plan as a terminal shows it."""

import math
from collections.abc import Mapping
from typing import Any

import yaml
from rich.table import Table

from accel_asr.console.printing import percent
from accel_asr.console.public_text import visible
from accel_asr.evaluation.score_tables import score_console, shown
from accel_asr.planning.advice import PROMPT
from accel_asr.run.forecast import duration, gigabytes

NO_SPEECH = "words where nobody speaks"


def show_plan(record: Mapping[str, Any]) -> None:
    """Print the models, where the first fails, the ways, the answer and its reasons."""
    console = score_console()
    table = Table(title=f"as they are, on {record['sample']} utterances, with 95% intervals", title_justify="left")
    columns = ["model", "WER", *(["WER with keywords"] if record["keywords"] else []), "CER", NO_SPEECH]
    for column in columns:
        table.add_column(column, justify="left" if column == "model" else "right", overflow="fold")
    for model in record["models"]:
        rates = [rate_cell(model, "wer"), rate_cell(model, "cer")]
        if model["prompted"]:
            rates.insert(1, rate_cell(model["prompted"], "wer"))
        table.add_row(shown(model["model"]), *rates, no_speech_cell(model))
    console.print(table)
    own = record["models"][0]
    for name, guard in own["guards"].items():
        console.print(f"guard {visible(name)}: {percent(guard['rate'])}")
    for part in own["worst_parts"]:
        console.print(
            f"worst by {visible(part['column'])}: {shown(part['value'])}, {percent(part['wer'])} of "
            f"{part['utterances']} utterances"
        )
    for confusion in own["confusions"]:
        console.print(f"{confusion['count']} times {confusion_in_words(confusion)}")
    if record["ways"]:
        console.print(_ways_table(record))
    for way, problem in record["not_probed"].items():
        console.print(f"{way} was not probed: {visible(problem)}")
    console.print(f"\nanswer: {record['answer']}")
    for reason in record["reasons"]:
        console.print(f"  - {visible(reason)}")
    if record["settings"]:
        console.print("\nsettings to add:\n" + settings_to_add(record))
    if record["answer"] == PROMPT:
        console.print(f"\nprompt: {visible(record['prompt'])}")
    console.print(f"took {duration(record['seconds'])}")


def _ways_table(record: Mapping[str, Any]) -> Table:
    table = Table(title="ways of training, probed on copies", title_justify="left")
    table.add_column("way")
    for column in WAY_COLUMNS:
        table.add_column(column, justify="right")
    for way in record["ways"]:
        table.add_row(way["way"], *way_cells(way))
    return table


WAY_COLUMNS = (
    "steps x utterances",
    "s a step",
    "in all",
    "audio h/h",
    "memory",
    "disk",
    "most a batch",
    "WER after",
)


def way_cells(way: Mapping[str, Any]) -> list[str]:
    """The cells of WAY_COLUMNS."""
    return [
        f"{way['steps']} x {way['utterances_a_step']}",
        f"{way['step_s']:.2f}",
        duration(3600 * way["hours"]),
        f"{way['audio_hours_per_hour']:.1f}",
        gigabytes(way["peak_bytes"]),
        gigabytes(way["disk_bytes"]),
        str(way["largest_micro_batch"]) if way["largest_micro_batch"] else "does not fit",
        percent(way["after"]["wer"]),
    ]


def rate_cell(record: Mapping[str, Any], rate: str) -> str:
    """`12.34% (10.00 to 15.00)`."""
    low, high = record[f"{rate}_interval"]
    between = f" ({100 * low:.2f} to {100 * high:.2f})" if low is not None and math.isfinite(low) else ""
    return f"{percent(record[rate])}{between}"


def no_speech_cell(model: Mapping[str, Any]) -> str:
    """Of a model's clips without speech, those with words, and the interval of their share."""
    found = model["no_speech"]
    if not found:
        return "not scored"
    low, high = found["share_interval"]
    return f"{found['with_words']} of {found['clips']} ({100 * low:.0f} to {100 * high:.0f}%)"


def confusion_in_words(confusion: Mapping[str, Any]) -> str:
    """`"the" heard as "a"`."""
    said, heard = shown(confusion["reference"]), shown(confusion["hypothesis"])
    if not confusion["hypothesis"]:
        return f'"{said}" missed'
    return f'"{heard}" added' if not confusion["reference"] else f'"{said}" heard as "{heard}"'


def settings_to_add(record: Mapping[str, Any]) -> str:
    """As YAML."""
    return str(yaml.safe_dump(record["settings"], sort_keys=False))
