"""What `accel-asr check-data` found, in words: each finding with the first rows that have it, and what to do next."""

from collections.abc import Iterator
from typing import Any

from accel_asr.data.checking.column_checks import CLIPPED_SHARE, ENOUGH_ROWS, SILENT_PEAK_DBFS, SILENT_RMS_DBFS
from accel_asr.data.checking.data_report import warnings_of
from accel_asr.data.checking.words import SHOWN, Report, rows_told, shortened

_SHOWN_TEXT = 60
_SHOWN_OF_GROUP = 3


def findings_of(report: Report) -> Iterator[str]:
    """Lines about what is worth a look, the worst first; what was looked for and is not there comes last."""
    if not any(source["kept"] for source in report["sources"]):
        yield "no row is kept that could be looked at any closer"
        return
    yield from _overlap(report)
    yield from _repeated(report)
    yield from _levels(report)
    yield from _speed(report)
    yield from _characters(report)
    yield from _references(report)
    if "label_lengths" in warnings_of(report):
        yield f"cut texts: {report['label_lengths']['over']:,} labels are too long for the decoder, and cut at a word"
    found = warnings_of(report)
    fine = {
        "overlap": "overlap of validation with train",
        "duplicates": "duplicates",
        "copies": "likely copies",
        "silence": "silence",
        "clipping": "clipping",
        "text_speed": "texts that do not fit their recordings",
    }
    if not report["text_speed"]["languages"]:
        fine.pop("text_speed")
    if report["utterances"]["validation"] is None:
        fine.pop("overlap")
    not_found = [told for name, told in fine.items() if name not in found]
    if not_found:
        yield f"none found: {', '.join(not_found)}"


def _overlap(report: Report) -> Iterator[str]:
    overlap = report["overlap"]
    if overlap["same_audio"]["rows"]:
        yield (
            f"OVERLAP: {rows_told(overlap['same_audio'])} of validation with the very audio of a row that is trained "
            "on: scores come out too good"
        )
        yield from _lines(" = ".join(pair) for pair in overlap["same_audio"]["examples"])
    if overlap["copies"]["rows"]:
        yield f"OVERLAP: {rows_told(overlap['copies'])} of validation, likely copied from rows that are trained on"
        yield from _lines(" = ".join(group[:_SHOWN_OF_GROUP]) for group in overlap["copies"]["examples"])
    for kind in ("texts", "groups", "speakers"):
        shared = overlap.get(kind)
        if shared and shared["rows"]:
            of = f"{shared['values']:,} of {shared['of_values']:,} different {kind}" if "values" in shared else kind
            yield f"OVERLAP: {rows_told(shared)} of validation, {of} that are trained on too"
            yield from _lines(shortened(str(example), _SHOWN_TEXT, keep_end=False) for example in shared["examples"])


def _repeated(report: Report) -> Iterator[str]:
    for side in ("train", "validation"):
        repeated, copies = report["duplicates"][side], report["copies"][side]
        if repeated["rows"]:
            other = f"; recordings with texts that differ: {repeated['other_text']:,}" * bool(repeated["other_text"])
            yield f"duplicates in {side}: {rows_told(repeated)} with the audio of another{other}"
            yield from _lines(" = ".join(group[:_SHOWN_OF_GROUP]) for group in repeated["examples"])
        if copies["rows"]:
            yield (
                f"likely copies in {side}: {rows_told(copies)} with the text, the length and the level of another, and "
                "other samples"
            )
            yield from _lines(" = ".join(group[:_SHOWN_OF_GROUP]) for group in copies["examples"])


def _levels(report: Report) -> Iterator[str]:
    silence, clipping = report["silence"], report["clipping"]
    if silence["rows"]:
        below = f"a level below {SILENT_RMS_DBFS:g} dBFS or peaks below {SILENT_PEAK_DBFS:g} dBFS"
        yield f"silence: {rows_told(silence)} with {below}"
        levels = ((name, "zeros" if level is None else f"{level:g} dBFS") for name, level in silence["examples"])
        yield from _lines(f"{name}: {level}" for name, level in levels)
    if clipping["rows"]:
        yield f"clipping: {rows_told(clipping)} with more than {CLIPPED_SHARE:.1%} of the samples at full scale"
        yield from _lines(f"{name}: {share:.2%}" for name, share in clipping["examples"])


def _speed(report: Report) -> Iterator[str]:
    outliers, languages = report["text_speed"]["outliers"], report["text_speed"]["languages"]
    if not languages:
        yield f"texts that do not fit their recordings: not looked for, no language has {ENOUGH_ROWS} rows"
    if outliers["rows"]:
        yield f"texts that do not fit their recordings: {rows_told(outliers)}"
        for name, speed in languages.items():
            told = f"{speed['median']:.3g} characters a second, from {speed['lowest']:.3g} to {speed['highest']:.3g}"
            yield f"    usual in {name}: {told}"
        yield from _lines(_outlier(name, told) for name, told in outliers["examples"])


def _outlier(name: str, told: Report) -> str:
    text = shortened(" ".join(told["text"].split()), _SHOWN_TEXT, keep_end=False)
    return f"{name}: {told['characters_per_s']:.3g} a second in {told['duration_s']:.2f} s: {text}"


def _characters(report: Report) -> Iterator[str]:
    characters = report["characters"]
    if characters["unseen"]:
        yield "characters that nobody sees, and a model would learn to write (data.text.replacements takes them out):"
        yield from _lines(_character(one, "") for one in characters["unseen"])
    if not characters["unspellable"]:
        why = ": it spells bytes" if characters["byte_level"] else ""
        yield f"characters: the tokenizer can spell all {characters['different']:,} different ones{why}"
        return
    count = f"{len(characters['unspellable']):,} of {characters['different']:,} different ones"
    yield f"characters that the tokenizer can't spell: {count}"
    yield from _lines(_character(one, f"{one['character']} ") for one in characters["unspellable"])


def _character(one: Report, shown: str) -> str:
    return (
        f"{shown}({one['code_point']} {one['name']}): {one['count']:,} times, such as in {', '.join(one['examples'])}"
    )


def _references(report: Report) -> Iterator[str]:
    references = report["references"]
    if references and references["split"]:
        yield (
            f"words that the normaliser {references['normalizer']!r} splits at the marks of their letters: in "
            f"{references['split']:,} of {references['texts']:,} validation texts; evaluation.normalizer: multilingual "
            "leaves them whole"
        )
        yield from _lines(f"{name}: {word} -> {pieces}" for name, word, pieces in references["split_examples"])
    if references and references["too_long"]:
        yield (
            f"texts that a transcript has no room for: {references['too_long']:,} of {references['texts']:,} of "
            f"validation take up to {references['most_tokens']} tokens, and evaluation.generation_max_length is "
            f"{references['max_new_tokens']}"
        )
        yield from _lines(f"{name}: {tokens} tokens" for name, tokens in references["too_long_examples"])


def _lines(examples: Any) -> Iterator[str]:
    """The first examples, indented."""
    shown = list(examples)
    for example in shown[:SHOWN]:
        yield f"    {example}"
    if len(shown) > SHOWN:
        yield "    ... --json FILE names more"


def next_steps(report: Report) -> Iterator[str]:
    """The verdict, and what can be done about it."""
    dropped = sum(one["count"] for one in report["dropped"].values())
    kept = sum(source["kept"] for source in report["sources"])
    rows = sum(source["rows"] for source in report["sources"])
    found = warnings_of(report)
    if report["refusals"]:
        yield "RESULT     training would refuse this data"
    elif dropped:
        yield f"RESULT     training would drop {dropped:,} of {rows:,} rows"
    else:
        yield f"RESULT     training would use all {rows:,} rows"
    if found:
        yield f"look at    {', '.join(found)}".replace("_", " ")
    if report["refusals"]:
        yield "next       mend what would be refused, and check again"
    if "overlap" in found:
        kinds = [report["overlap"].get(kind) or {"rows": 0} for kind in ("texts", "groups", "speakers")]
        columns = dict.fromkeys(shared["column"] for shared in kinds if shared["rows"] and "column" in shared)
        by = f" ({' or '.join(columns)})" if columns else ""
        yield f"next       take what overlaps out of one side, or hold out by data.group_column{by}"
    clean = report["clean_manifests"]
    for one in clean:
        yield f"written    {one['path']}: {one['rows']:,} rows of {one['source']}"
        if one["other_rows"]:
            yield f"           and {one['other_rows']:,} of splits that the run does not read, as they are: not checked"
        yield from (f"not in it  {what}" for what in one["left_out"])
        where = " in this source" * (len(clean) > 1)
        yield f"next       train with the same settings, but{where}: {_changed(one, clean)}"
    if (dropped or report["refusals"]) and kept and not clean:
        yield f"next       --write_clean FILE.jsonl writes a manifest of the {kept:,} rows that are kept, to train on"
    if not dropped and not report["refusals"] and not clean:
        yield "next       accel-asr train, or accelerate launch accel_asr/train.py, with the same settings"


def _changed(one: Report, clean: list[Report]) -> str:
    """Settings as the command line takes them, or as they stand in a list of sources."""
    if len(clean) == 1:
        return " ".join(f"--data.{name} {value}" for name, value in one["settings"].items())
    return ", ".join(f"{name}: {value}" for name, value in one["settings"].items())
