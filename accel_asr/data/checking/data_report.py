"""The report of `accel-asr check-data` as one JSON document: numbers and names, no advice.

Keys are never renamed, but may be added. `examples` are the first 20 utterance ids, or pairs of an id and a detail.

    format              1
    model               name_or_path, sampling_rate_hz, window_s, max_label_tokens
    limits              max_duration_s: longer clips are dropped; long_labels: drop or cut
    sources             for each source and split: source, split, rows, readable_rows, hours, shortest_s, median_s,
                        longest_s, sampling_rates_hz {rate: rows}, channels {number: rows}, kept,
                        dropped {reason: {count, examples}}
    utterances          for train and validation: utterances, hours; validation is null where the rows can't be split
    durations           of readable rows: bounds (seconds), counts, over: how many are too long and dropped
    label_lengths       of rows with text: bounds (tokens), counts, over: how many are too long for the decoder
    languages           a list of language, rows, hours, known (to the model), said (whether by each row)
    characters          in kept texts: different, byte_level, unspellable [{character, code_point, name, count,
                        examples}], unseen (such as U+FEFF, or a replacement character, U+FFFD) likewise
    dropped             as in sources, for all of them together: {reason: {count, examples}}
    refusals            messages with which training would end before its first step
    duplicates          for train and validation: recordings that occur more than once, rows beyond the first of
                        each, other_text: recordings whose texts differ, examples (lists of ids)
    copies              for train and validation: recordings with the same text, length and level, but other samples
    overlap             of validation with train: same_audio, copies, texts, groups, speakers {rows, examples; column,
                        of_rows, values, of_values}; and same_id_other_audio, which is harmless by itself
    silence, clipping   rows, examples (id, decibels below full scale; id, share of samples at full scale)
    text_speed          characters per second: for each language median, lowest, highest; outliers: rows, examples
    references          validation texts: normalizer, max_new_tokens (of a transcript), texts, empty (after
                        normalising), split (the normaliser splits words at combining marks) and split_examples (id,
                        word, pieces), too_long (for a transcript), too_long_examples (id, tokens), most_tokens; or null
    warnings            how many kinds of problems there are that drop nothing
    notices             notices of the readers
    clean_manifests     what --write_clean wrote: source, path, rows, other_rows, left_out, settings to change for it
    exit_code           1 where a row would be dropped or training refused, else 0
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from accel_asr.data.checking import fault_sections
from accel_asr.data.checking.check import Checked, CheckedPart, cells_and_codes, language_of
from accel_asr.data.checking.column_checks import histogram
from accel_asr.data.selection.preparation import Drops, hours, label_lengths
from accel_asr.data.selection.shared_values import shared_values
from accel_asr.data.selection.utterances import Part, Utterances

Report = dict[str, Any]

FORMAT = 1
OVERLAPS = ("same_audio", "copies", "texts", "groups", "speakers")  # each where it was checked
_SMALLEST_STEP_S = 0.01  # of the histogram of durations


def report_of(checked: Checked, *, model_name: str, references: Mapping[str, Any] | None = None) -> Report:
    """The document that the module describes; `references` is that section of it."""
    limits = checked.limits
    kept = fault_sections.KeptRows(checked)
    all_drops = Drops()
    for part in checked.parts:
        all_drops.merge(part.drops)
    report: Report = {
        "format": FORMAT,
        "model": {
            "name_or_path": model_name,
            "sampling_rate_hz": limits.sampling_rate_hz,
            "window_s": limits.window_s,
            "max_label_tokens": limits.encoder.max_label_tokens,
        },
        "limits": {"max_duration_s": checked.max_duration_s, "long_labels": checked.data.long_labels},
        "sources": [_source(part) for part in checked.parts],
        "utterances": {"train": _size(checked.train), "validation": _size(checked.validation)},
        "durations": _durations(checked),
        "label_lengths": _label_lengths(checked),
        "languages": _languages(checked),
        "characters": fault_sections.characters(kept, checked),
        "dropped": all_drops.summary(),
        "refusals": checked.refusals,
        **fault_sections.repetitions(kept),
        **fault_sections.levels(kept),
        "text_speed": fault_sections.text_speed(kept),
        "references": references,
    }
    if checked.validation:
        shared = shared_values(checked.data, checked.train, checked.validation)
        report["overlap"] |= {values.kind: values.report() for values in shared}
    report["warnings"] = len(warnings_of(report))
    report["notices"] = checked.notices
    report["exit_code"] = int(bool(all_drops.counts or checked.refusals))
    return report


def warnings_of(report: Report) -> list[str]:
    """The kinds of problems that drop nothing but are worth a look, by their names in the report."""
    overlap = report["overlap"]
    is_warned = {
        "overlap": any(overlap[kind]["rows"] for kind in OVERLAPS if kind in overlap),
        "duplicates": any(side["rows"] for side in report["duplicates"].values()),
        "copies": any(side["rows"] for side in report["copies"].values()),
        "silence": report["silence"]["rows"],
        "clipping": report["clipping"]["rows"],
        "text_speed": report["text_speed"]["outliers"]["rows"],
        "characters": report["characters"]["unspellable"] or report["characters"]["unseen"],
        "references": report["references"] and (report["references"]["split"] or report["references"]["too_long"]),
        "label_lengths": report["limits"]["long_labels"] == "cut" and report["label_lengths"]["over"],
    }
    return [name for name, is_there in is_warned.items() if is_there]


def _source(checked: CheckedPart) -> dict[str, Any]:
    index = checked.part.index
    durations_s = _readable_s(checked.part)
    return {
        "source": checked.source.name or checked.source.name_or_path,
        "split": checked.split,
        "rows": len(index),
        "readable_rows": len(durations_s),
        "hours": round(float(durations_s.sum()) / 3600, 4),
        **{
            f"{name}_s": round(float(of(durations_s)), 3) if len(durations_s) else None
            for name, of in (("shortest", np.min), ("median", np.median), ("longest", np.max))
        },
        "sampling_rates_hz": _counts(index.column("sampling_rate_hz")),
        "channels": _counts(index.column("channels")),
        "kept": len(checked.kept),
        "dropped": checked.drops.summary(),
    }


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    """How many rows have each value, the most frequent first."""
    counts = [(row["values"], row["counts"]) for row in column.value_counts().to_pylist()]
    return {str(value): count for value, count in sorted(counts, key=lambda pair: -pair[1]) if value is not None}


def _size(utterances: Utterances | None) -> dict[str, Any] | None:
    if utterances is None:
        return None
    return {"utterances": len(utterances), "hours": round(hours(utterances), 4)}


def _readable_s(part: Part) -> np.ndarray:
    durations_s = part.index.durations_s
    return durations_s[~np.isnan(durations_s)]


def _durations(checked: Checked) -> dict[str, Any]:
    values = np.concatenate([_readable_s(part.part) for part in checked.parts])
    limit = float(np.nextafter(checked.max_duration_s, np.inf))  # a clip of exactly that length is used
    bins = histogram(values, limit=limit, smallest_step=_SMALLEST_STEP_S)
    return {"bounds": bins.bounds, "counts": bins.counts, "over": int((values > checked.max_duration_s).sum())}


def _label_lengths(checked: Checked) -> dict[str, Any]:
    most = checked.limits.encoder.max_label_tokens
    lengths = np.concatenate([label_lengths(part.part, checked.limits.encoder) for part in checked.parts])
    bins = histogram(lengths[lengths > 0], limit=most + 1, smallest_step=1)
    return {"bounds": bins.bounds, "counts": bins.counts, "over": int((lengths > most).sum())}


def _languages(checked: Checked) -> list[dict[str, Any]]:
    rows: Counter[tuple[str | None, bool]] = Counter()  # by language, and whether the row itself has it
    seconds: Counter[tuple[str | None, bool]] = Counter()
    for checked_part in checked.parts:
        part = checked_part.part
        durations_s = np.nan_to_num(part.index.durations_s)
        cells, codes = cells_and_codes(part, "language")
        for code, cell in enumerate(cells):
            mine = codes == code
            if mine.any():
                key = (language_of(cell, part, checked.limits), cell is not None)
                rows[key] += int(mine.sum())
                seconds[key] += durations_s[mine].sum()
    return [
        {
            "language": language,
            "rows": count,
            "hours": round(float(seconds[language, by_row]) / 3600, 4),
            "known": language is not None and checked.limits.encoder.knows_language(language),
            "said": by_row,
        }
        for (language, by_row), count in rows.most_common()
    ]
