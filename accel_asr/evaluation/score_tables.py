"""The scores of an evaluation as a terminal shows them."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from accel_asr.console.printing import counted, percent, table_console
from accel_asr.console.public_text import visible
from accel_asr.evaluation.alignments import Confusion, confusions
from accel_asr.evaluation.blocks import blocks_in_words
from accel_asr.evaluation.breakdowns import ENOUGH_UTTERANCES, PartScore, breakdowns, worst_part
from accel_asr.evaluation.comparing import Change, Comparison
from accel_asr.evaluation.hallucinations import find_hallucinations
from accel_asr.evaluation.intervals import Interval
from accel_asr.evaluation.keywords import KEYWORD_COUNTS, KEYWORD_RATES
from accel_asr.evaluation.no_speech import no_speech_change
from accel_asr.evaluation.set_results import SetResult

TABLE_WIDTH = 132  # also where the output is no terminal, for which rich takes 80
SHOWN_PARTS = 20
SHOWN_CHARACTERS = 400
MOST_WRITTEN = 5  # texts that are written where nobody speaks
HALLUCINATIONS = {
    "insertion_only": "insertions as their only errors",
    "looping": "a piece of text over and over",
    "from_nothing": "words for an empty reference",
    "silent": "words for a recording in which nothing can be heard",
}


def score_console() -> Console:
    """A console wide enough for the tables."""
    return table_console(width=TABLE_WIDTH)


def show_sets(console: Console, results: Mapping[str, Sequence[SetResult]]) -> None:
    """A column for each model and set; rates with their 95% intervals.

    Args:
        results: Of each model, by its name.
    """
    is_merged = any(result.evaluation.is_merged for sets in results.values() for result in sets)
    table = _table(f"scores, with 95% bootstrap intervals{'; padding merged' if is_merged else ''}")
    table.add_column("")
    columns = []
    for model, sets in results.items():
        for result in sets:
            name = shown(result.evaluated.name)
            title = f"{shown(model)}\n{name}" if len(results) > 1 else name
            table.add_column(title, justify="right", overflow="fold")
            columns.append(_column(result))
    for label in dict.fromkeys(label for column in columns for label in column):
        table.add_row(label, *(column.get(label, "n/a") for column in columns))
    console.print(table)
    for sets in results.values():
        for result in sets:
            record = result.evaluation.record()
            words = blocks_in_words(record)
            if words is not None:
                _say(console, f"{result.evaluated.name}: {words}")
            if translation := record.get("translation"):
                _say(console, f"{result.evaluated.name}: BLEU {translation['bleu_signature']}")
                _say(console, f"{result.evaluated.name}: chrF {translation['chrf_signature']}")
        break  # the other model has the same utterances


def _column(result: SetResult) -> dict[str, str]:
    record, score = result.evaluation.record(), result.evaluation.score
    rates = {"WER": "wer", "WER orthographic": "wer_ortho", "CER": "cer", "CER orthographic": "cer_ortho"}
    return {
        "utterances": f"{score.utterances:,}",
        **{label: with_interval(record[rate], record[f"{rate}_interval"]) for label, rate in rates.items()},
        "sentences with an error": percent(score.sentence_error_rate),
        "reference words": f"{score.reference_words:,}",
        "substitutions": f"{score.substitutions:,}",
        "deletions": f"{score.deletions:,}",
        "insertions": f"{score.insertions:,}",
        **_translation_cells(record.get("translation")),
        **_long_form_cells(record.get("long_form")),
        "RTFx (audio seconds a second)": _speed(result),
    }


def _translation_cells(translation: Mapping[str, Any] | None) -> dict[str, str]:
    names = {} if translation is None else {"BLEU": "bleu", "chrF": "chrf"}
    return {
        label: score_with_interval(translation[name], translation[f"{name}_interval"])
        for label, name in names.items()
        if translation is not None
    }


def _long_form_cells(record: Mapping[str, Any] | None) -> dict[str, str]:
    """Of rows longer than the window, and nothing where there are none."""
    if record is None:
        return {}
    cells = {
        "longer than the window": f"{record['recordings']:,}",
        "WER of those": with_interval(record["wer"], record["wer_interval"]),
        "loops, missing stretches": f"{record['loops']:,}, {record['missing']:,}",
    }
    if record["boundaries"]:
        errors = f"{record['boundary_error_s']:.2f} s, {record['boundary_error_95_s']:.2f} s"
        cells["segment times: median error, 95%"] = errors
    return cells


def _speed(result: SetResult) -> str:
    evaluation = result.evaluation
    processes = counted(evaluation.processes, "process", "processes")
    return f"{result.rtfx:.1f} (batch {evaluation.batch_size}, {processes}, {evaluation.device})"


def show_details(console: Console, result: SetResult) -> None:
    """Breakdowns, confusions and hallucinations of one set, and what could not be scored."""
    score = result.evaluation.score
    if result.evaluation.word_confidence:
        show_confidence(console, result.evaluated.name, result.evaluation.word_confidence)
    if result.evaluation.keywords:
        show_keywords(console, result.evaluated.name, result.evaluation.keywords)
    for column, parts in breakdowns(result.scored).items():
        _show_parts(console, f"{result.evaluated.name} by {column}", parts)
    _show_confusions(console, f"{result.evaluated.name}: most frequent confusions", confusions(result.scored, most=10))
    remarks = {
        "cut off at the length limit": score.cut_off,
        "could not be decoded, scored as empty": score.unreadable,
        "references empty after normalisation, not scored": score.empty_references,
    }
    for remark, count in remarks.items():
        if count:
            _say(console, f"{result.evaluated.name}: {count:,} {remark}")
    for kind, utterances in vars(find_hallucinations(result.scored)).items():
        if utterances:
            _say(console, f"{result.evaluated.name}: {len(utterances):,} with {HALLUCINATIONS[kind]}, such as")
            _say(console, f"  reference   {shown(utterances[0].transcript.reference)}")
            _say(console, f"  hypothesis  {shown(utterances[0].transcript.hypothesis)}")


def show_confidence(console: Console, name: str, record: Mapping[str, Any]) -> None:
    """How well the confidences of words tell right from wrong, and whether they mean what they say."""
    after, before = (percent(record[name]["ece"]) for name in ("calibrated", "uncalibrated"))
    of_words = f"{record['words']:,} words, {percent(record['right'])} of them right"
    _say(
        console,
        f"{name}: confidence of {of_words}: AUROC {record['auroc']:.3f}, ECE {percent(record['ece'])}; at temperature "
        f"{record['temperature']:.2f}, fitted on half of the utterances, {after} in place of {before} on the other",
    )


def show_keywords(console: Console, name: str, record: Mapping[str, Any]) -> None:
    """How many keywords were recognised: all of them, then those with the most errors."""
    table = _table(f"{name}: keywords, with 95% bootstrap intervals")
    for column in ("keyword", "occurrences", "recognised", "false alarms", "recall", "precision", "error rate"):
        table.add_column(column, justify="left" if column == "keyword" else "right", overflow="fold")
    rates = [with_interval(record[rate], record[f"{rate}_interval"]) for rate in KEYWORD_RATES]
    table.add_row("all", *(f"{record[count]:,}" for count in KEYWORD_COUNTS), *rates)
    for keyword, of_keyword in [*record["by_keyword"].items()][:SHOWN_PARTS]:
        counts = (f"{of_keyword[count]:,}" for count in KEYWORD_COUNTS)
        table.add_row(shown(keyword), *counts, *(percent(of_keyword[rate]) for rate in KEYWORD_RATES))
    console.print(table)


def show_no_speech(console: Console, records: Mapping[str, Mapping[str, Any]]) -> None:
    """In how many clips without speech words were written, by kind; and what the first model wrote.

    Args:
        records: Of each model, by its name; the second is what the first is compared with.
    """
    table = _table("clips without speech that got words, of so many, with 95% intervals")
    table.add_column("")
    for name in records:
        table.add_column(shown(name), justify="right", overflow="fold")
    model, *others = records.values()
    counts = [f"{record['with_words']} of {record['clips']}" for record in records.values()]
    rates = [with_interval(record["share"], record["share_interval"]) for record in records.values()]
    shares = [f"{count}: {rate}" for count, rate in zip(counts, rates, strict=True)]
    table.add_row("all", *shares)
    for kind in model["by_kind"]:
        parts = [record["by_kind"][kind] for record in records.values()]
        table.add_row(kind, *(f"{part['with_words']} of {part['clips']}" for part in parts))
    console.print(table)
    for other in others:
        change = no_speech_change(other, model)
        _say(
            console,
            f"words from the first only: {change.only_after}, from the other only: {change.only_before}: "
            f"{change.verdict} (exact McNemar test, p = {change.p_value:.2g})",
        )
    for text, clips in _by_text(model["written"])[:MOST_WRITTEN]:
        _say(console, f"  {counted(clips, 'time')} {shown(text)}")


def _by_text(written: Mapping[str, str]) -> list[tuple[str, int]]:
    return Counter(written.values()).most_common()


def show_comparison(console: Console, comparison: Comparison, *, name: str, model: str, other: str) -> None:
    """The difference of two models on one set, and the utterances that changed most."""
    table = _table(f"{name}: {model} against {other}, points with 95% intervals, paired")
    for column in ("rate", "difference", "95% interval"):
        table.add_column(column, justify="right")
    table.add_column("")
    for rate, difference in comparison.differences.items():
        low, high = map(points, difference.interval)
        table.add_row(rate, points(difference.difference), f"{low} to {high}", difference.verdict)
    console.print(table)
    _say(console, f"{comparison.changed_transcripts:,} transcripts differ")
    for title, changes in (("most improved", comparison.improved), ("most worsened", comparison.worsened)):
        for change in changes[:3]:
            _show_change(console, title, change)


def _show_change(console: Console, title: str, change: Change) -> None:
    _say(console, f"{title}: {shown(change.after.transcript.utterance_id)} ({change.errors:+d} word errors)")
    _say(console, f"  reference   {shown(change.after.transcript.reference)}")
    _say(console, f"  before      {shown(change.before.transcript.hypothesis)}")
    _say(console, f"  after       {shown(change.after.transcript.hypothesis)}")


def _show_parts(console: Console, title: str, parts: Sequence[PartScore]) -> None:
    table = _table(title)
    table.add_column("", overflow="fold")
    for column in ("utterances", "WER", "CER", "sentences wrong"):
        table.add_column(column, justify="right")
    shown_parts = parts
    if len(parts) > SHOWN_PARTS:
        shown_parts = sorted(parts, key=lambda part: -_word_errors(part))[:SHOWN_PARTS]
    for part in shown_parts:
        wer = with_interval(part.score.wer, part.interval)
        sentences = percent(part.score.sentence_error_rate)
        table.add_row(shown(part.value), f"{part.score.utterances:,}", wer, percent(part.score.cer), sentences)
    console.print(table)
    worst = worst_part(parts)
    if worst is not None:
        wer = with_interval(worst.score.wer, worst.interval)
        _say(console, f"  worst: {shown(worst.value)}, {wer}, of those with at least {ENOUGH_UTTERANCES} utterances")
    if len(parts) > SHOWN_PARTS:
        _say(console, f"  the {SHOWN_PARTS} with most errors; {len(parts) - SHOWN_PARTS:,} more are in scores.json")


def _word_errors(part: PartScore) -> int:
    return part.score.substitutions + part.score.deletions + part.score.insertions


def _show_confusions(console: Console, title: str, frequent: Sequence[Confusion]) -> None:
    if frequent:
        _say(console, title)
    for confusion in frequent:
        reference, hypothesis = shown(confusion.reference), shown(confusion.hypothesis)
        if not confusion.hypothesis:
            error = f"{reference} was deleted"
        elif not confusion.reference:
            error = f"{hypothesis} was inserted"
        else:
            error = f"{reference} became {hypothesis}"
        _say(console, f"  {confusion.count:>5,}  {error}")


def _table(title: str) -> Table:
    return Table(title=shown(title), title_justify="left")


def _say(console: Console, text: str) -> None:
    console.print(visible(text))


def shown(text: str, *, most: int = SHOWN_CHARACTERS) -> str:
    """Text of the data as one harmless line, shortened if it is very long."""
    line = visible(text)
    return line if len(line) <= most else f"{line[:most]}... ({len(line):,} characters)"


def points(difference: float) -> str:
    """-0.0512 as `-5.12`: percentage points."""
    return "n/a" if math.isnan(difference) else f"{100 * difference:+.2f}"


def score_with_interval(score: float, interval: Sequence[float]) -> str:
    """`31.2 (28.9 to 33.6)`, of a score from 0 to 100; without the interval where there is none."""
    low, high = interval
    return f"{score:.1f}" if math.isnan(low) else f"{score:.1f} ({low:.1f} to {high:.1f})"


def with_interval(rate: float, interval: Interval | Sequence[float]) -> str:
    """`5.12% (4.01 to 6.30)`; without the interval where there is none."""
    low, high = interval
    if math.isnan(rate) or math.isnan(low):
        return percent(rate)
    return f"{percent(rate)} ({100 * low:.2f} to {100 * high:.2f})"
