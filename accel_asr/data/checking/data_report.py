"""The report of `accel-asr check-data` as one JSON document: numbers and names, no advice.

Its keys stay what they are; new ones may come. `examples` are utterance ids, or pairs of an id and the particulars, and
are the first 20. Of a row without a side (`train`, `validation`) it is not known which it would be on.

    format              1
    model               name_or_path, sampling_rate_hz, window_s, max_label_tokens
    limits              max_duration_s: longer clips are dropped; long_labels: drop or cut
    sources             of each source and split: source, split, rows, readable_rows, hours, shortest_s, median_s,
                        longest_s, sampling_rates_hz {rate: rows}, channels {number: rows}, kept,
                        dropped {reason: {count, examples}}
    utterances          of train and validation: utterances, hours; validation is null where it can't be told apart
    durations           of readable rows: bounds (seconds), counts, over: how many are dropped for their length
    label_lengths       of rows with text: bounds (tokens), counts, over: how many the decoder can't hold
    languages           a list of language, rows, hours, known (to the model), said (by rows: true, by settings: false)
    characters          of kept texts: different, byte_level, unspellable [{character, code_point, name, count,
                        examples}], unseen (such as U+FEFF, or a sign of damage, U+FFFD) likewise
    dropped             as in sources, of all of them together: {reason: {count, examples}}
    refusals            messages with which training would end before its first step
    duplicates          of train and validation: recordings that are there more than once, rows beyond the first of
                        each, other_text: recordings whose texts differ, examples (lists of ids)
    copies              of train and validation: recordings with the same text, length and level, and other samples
    overlap             of validation with train: same_audio, copies, texts, groups, speakers {rows, examples},
                        those of values with how many; and same_id_other_audio,
                        which does no harm by itself
    silence, clipping   rows, examples (id, decibels below full scale; id, share of samples at full scale)
    text_speed          characters a second: of each language median, lowest, highest; outliers: rows, examples
    references          of validation texts: normalizer, max_new_tokens (of a transcript), texts, empty (the normaliser
                        leaves nothing), split (it splits words at the marks of letters) and split_examples (id, word,
                        pieces), too_long (for a transcript), too_long_examples (id, tokens), most_tokens; or null
    warnings            how many kinds of finding there are that drop nothing
    notices             what the source's readers had to tell
    clean_manifests     what --write_clean wrote: source, path, rows, settings to change for training on it
    exit_code           1 where a row would be dropped or training refused, else 0
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from accel_asr.data.checking import column_checks as findings
from accel_asr.data.checking import fault_sections as faults
from accel_asr.data.checking.check import Checked, CheckedPart, columns_of, language_of
from accel_asr.data.selection.preparation import Drops, hours, label_lengths
from accel_asr.data.selection.shared_values import shared_values
from accel_asr.data.selection.utterances import Part, Utterances

FORMAT = 1
OVERLAPS = ("same_audio", "copies", "texts", "groups", "speakers")  # each where it was looked for
_SMALLEST_STEP_S = 0.01  # of the histogram of durations


def report_of(checked: Checked, *, model_name: str, references: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Everything that was found, as the module says; `references` are there as they are given."""
    limits = checked.limits
    kept = faults.Kept(checked)
    all_drops = Drops()
    for part in checked.parts:
        all_drops.merge(part.drops)
    report: dict[str, Any] = {
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
        "characters": faults.characters(kept, checked),
        "dropped": all_drops.summary(),
        "refusals": checked.refusals,
        **faults.repetitions(kept),
        **faults.levels(kept),
        "text_speed": faults.text_speed(kept),
        "references": references,
    }
    if checked.validation is not None and len(checked.validation):
        shared = shared_values(checked.data, checked.train, checked.validation)
        report["overlap"] |= {one.kind: one.report() for one in shared}
    report["warnings"] = len(warnings_of(report))
    report["notices"] = checked.notices
    report["exit_code"] = int(bool(all_drops.counts or checked.refusals))
    return report


def warnings_of(report: dict[str, Any]) -> list[str]:
    """The kinds of finding that drop nothing and are worth a look, by their names in the report."""
    overlap = report["overlap"]
    found = {
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
    return [name for name, is_there in found.items() if is_there]


# -- what there is


def _source(checked: CheckedPart) -> dict[str, Any]:
    columns = columns_of(checked.part.index)
    durations_s = _readable_s(checked.part)
    return {
        "source": checked.source.name or checked.source.name_or_path,
        "split": checked.split,
        "rows": len(checked.part.index),
        "readable_rows": len(durations_s),
        "hours": round(float(durations_s.sum()) / 3600, 4),
        **{
            f"{name}_s": round(float(of(durations_s)), 3) if len(durations_s) else None
            for name, of in (("shortest", np.min), ("median", np.median), ("longest", np.max))
        },
        "sampling_rates_hz": _counts(columns.column("sampling_rate_hz")),
        "channels": _counts(columns.column("channels")),
        "kept": len(checked.kept),
        "dropped": checked.drops.summary(),
    }


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    """How many rows have each value, the most frequent first."""
    counted = [(row["values"], row["counts"]) for row in column.value_counts().to_pylist()]
    return {str(value): count for value, count in sorted(counted, key=lambda pair: -pair[1]) if value is not None}


def _size(utterances: Utterances | None) -> dict[str, Any] | None:
    if utterances is None:
        return None
    return {"utterances": len(utterances), "hours": round(hours(utterances), 4)}


def _readable_s(part: Part) -> np.ndarray:
    durations_s = part.index.durations_s
    return durations_s[~np.isnan(durations_s)]


def _durations(checked: Checked) -> dict[str, Any]:
    values = np.concatenate([_readable_s(part.part) for part in checked.parts])
    limit = float(np.nextafter(checked.max_duration_s, np.inf))  # a clip of just that length is used
    binned = findings.histogram(values, limit=limit, smallest_step=_SMALLEST_STEP_S)
    over = int((values > checked.max_duration_s).sum())
    return {"bounds": binned.bounds, "counts": binned.counts, "over": over}


def _label_lengths(checked: Checked) -> dict[str, Any]:
    most = checked.limits.encoder.max_label_tokens
    lengths = np.concatenate([label_lengths(part.part, checked.limits.encoder) for part in checked.parts])
    lengths = lengths[lengths > 0]
    binned = findings.histogram(lengths, limit=most + 1, smallest_step=1)
    return {"bounds": binned.bounds, "counts": binned.counts, "over": int((lengths > most).sum())}


def _languages(checked: Checked) -> list[dict[str, Any]]:
    rows: Counter[tuple[str | None, bool]] = Counter()
    seconds: Counter[tuple[str | None, bool]] = Counter()
    for checked_part in checked.parts:
        part = checked_part.part
        durations_s = np.nan_to_num(part.index.durations_s)
        cells = columns_of(part.index).column("language").combine_chunks().dictionary_encode()
        codes = cells.indices.fill_null(len(cells.dictionary)).to_numpy()
        for code, said in enumerate([*cells.dictionary.to_pylist(), None]):
            mine = codes == code
            if mine.any():
                key = (language_of(said, part, checked.limits), said is not None)
                rows[key] += int(mine.sum())
                seconds[key] += durations_s[mine].sum()
    return [
        {
            "language": language,
            "rows": count,
            "hours": round(float(seconds[language, said]) / 3600, 4),
            "known": language is not None and checked.limits.encoder.knows_language(language),
            "said": said,
        }
        for (language, said), count in rows.most_common()
    ]
