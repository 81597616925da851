"""The report of `accel-asr check-data` in sentences: each problem with the first rows that have it, and what to do."""

from collections.abc import Iterable, Iterator
from typing import Any

from accel_asr.data.checking.column_checks import CLIPPED_SHARE, ENOUGH_ROWS, SILENT_PEAK_DBFS, SILENT_RMS_DBFS
from accel_asr.data.checking.data_report import Report, warnings_of

SHOWN = 3  # examples of each problem
MORE = "... --json FILE names more"
_SHOWN_TEXT = 60
_SHOWN_OF_GROUP = 3
_TEXT_SPEED = "texts that do not fit their recordings"


def problem_lines(report: Report) -> Iterator[str]:
    """What is worth a look, the worst first; last, what was checked and is fine. Examples are indented."""
    if not any(source["kept"] for source in report["sources"]):
        yield "no row is kept, so there is nothing to check any closer"
        return
    yield from _overlap(report)
    yield from _repetitions(report)
    yield from _levels(report)
    yield from _text_speed(report)
    yield from _characters(report)
    yield from _references(report)
    warnings = warnings_of(report)
    if "label_lengths" in warnings:
        yield f"cut texts: {report['label_lengths']['over']:,} labels are too long for the decoder, and cut at a word"
    checked = {"duplicates": "duplicates", "copies": "likely copies", "silence": "silence", "clipping": "clipping"}
    if report["utterances"]["validation"] is not None:
        checked = {"overlap": "overlap of validation with train", **checked}
    if report["text_speed"]["languages"]:
        checked["text_speed"] = _TEXT_SPEED
    fine = [description for name, description in checked.items() if name not in warnings]
    if fine:
        yield f"none found: {', '.join(fine)}"


def _overlap(report: Report) -> Iterator[str]:
    overlap = report["overlap"]
    if overlap["same_audio"]["rows"]:
        yield (
            f"OVERLAP: {row_count(overlap['same_audio'])} of validation with the same audio as a training row: scores "
            "will look too good"
        )
        yield from _examples(map(_equal, overlap["same_audio"]["examples"]))
    if overlap["copies"]["rows"]:
        yield f"OVERLAP: {row_count(overlap['copies'])} of validation, likely copies of training rows"
        yield from _examples(map(_equal, overlap["copies"]["examples"]))
    for kind in ("texts", "groups", "speakers"):
        shared = overlap.get(kind)
        if shared and shared["rows"]:
            values = f"{shared['values']:,} of {shared['of_values']:,} different {kind}" if "values" in shared else kind
            yield f"OVERLAP: {row_count(shared)} of validation, {values} that are trained on too"
            yield from _examples(cut(str(example), _SHOWN_TEXT) for example in shared["examples"])


def _repetitions(report: Report) -> Iterator[str]:
    for side in ("train", "validation"):
        duplicates, copies = report["duplicates"][side], report["copies"][side]
        if duplicates["rows"]:
            count = duplicates["other_text"]
            other = f"; recordings with texts that differ: {count:,}" if count else ""
            yield f"duplicates in {side}: {row_count(duplicates)} with the audio of another{other}"
            yield from _examples(map(_equal, duplicates["examples"]))
        if copies["rows"]:
            yield (
                f"likely copies in {side}: {row_count(copies)} with the text, length and level of another, but other "
                "samples"
            )
            yield from _examples(map(_equal, copies["examples"]))


def _levels(report: Report) -> Iterator[str]:
    silence, clipping = report["silence"], report["clipping"]
    if silence["rows"]:
        yield (
            f"silence: {row_count(silence)} with a level below {SILENT_RMS_DBFS:g} dBFS or peaks below "
            f"{SILENT_PEAK_DBFS:g} dBFS"
        )
        levels = ((name, "zeros" if level is None else f"{level:g} dBFS") for name, level in silence["examples"])
        yield from _examples(f"{name}: {level}" for name, level in levels)
    if clipping["rows"]:
        yield f"clipping: {row_count(clipping)} with more than {CLIPPED_SHARE:.1%} of the samples at full scale"
        yield from _examples(f"{name}: {share:.2%}" for name, share in clipping["examples"])


def _text_speed(report: Report) -> Iterator[str]:
    outliers, languages = report["text_speed"]["outliers"], report["text_speed"]["languages"]
    if not languages:
        yield f"{_TEXT_SPEED}: not checked, no language has {ENOUGH_ROWS} rows"
    if outliers["rows"]:
        yield f"{_TEXT_SPEED}: {row_count(outliers)}"
        for name, speed in languages.items():
            yield (
                f"    usual in {name}: {speed['median']:.3g} characters a second, from {speed['lowest']:.3g} to "
                f"{speed['highest']:.3g}"
            )
        yield from _examples(
            f"{name}: {outlier['characters_per_s']:.3g} a second in {outlier['duration_s']:.2f} s: "
            + cut(" ".join(outlier["text"].split()), _SHOWN_TEXT)
            for name, outlier in outliers["examples"]
        )


def _characters(report: Report) -> Iterator[str]:
    characters = report["characters"]
    if characters["unseen"]:
        yield "invisible characters, which a model would learn to write (data.text.replacements can remove them):"
        yield from _examples(map(_character, characters["unseen"]))
    if not characters["unspellable"]:
        why = ", since it spells bytes" if characters["byte_level"] else ""
        yield f"characters: the tokenizer can spell all {characters['different']:,} different ones{why}"
        return
    count = f"{len(characters['unspellable']):,} of {characters['different']:,} different ones"
    yield f"characters that the tokenizer can't spell: {count}"
    yield from _examples(f"{entry['character']} {_character(entry)}" for entry in characters["unspellable"])


def _character(entry: Report) -> str:
    return (
        f"({entry['code_point']} {entry['name']}): {entry['count']:,} times, such as in {', '.join(entry['examples'])}"
    )


def _references(report: Report) -> Iterator[str]:
    references = report["references"]
    if references and references["split"]:
        yield (
            f"words that the normaliser {references['normalizer']!r} splits at combining marks: in "
            f"{references['split']:,} of {references['texts']:,} validation texts; evaluation.normalizer: multilingual "
            "keeps them whole"
        )
        yield from _examples(f"{name}: {word} -> {pieces}" for name, word, pieces in references["split_examples"])
    if references and references["too_long"]:
        yield (
            f"texts too long for a transcript: {references['too_long']:,} of {references['texts']:,} validation texts "
            f"take up to {references['most_tokens']} tokens, and evaluation.generation_max_length is "
            f"{references['max_new_tokens']}"
        )
        yield from _examples(f"{name}: {tokens} tokens" for name, tokens in references["too_long_examples"])


def next_steps(report: Report) -> Iterator[str]:
    """The verdict, and what can be done about it."""
    dropped = sum(reason["count"] for reason in report["dropped"].values())
    kept, rows = (sum(source[name] for source in report["sources"]) for name in ("kept", "rows"))
    refused, warnings, manifests = report["refusals"], warnings_of(report), report["clean_manifests"]
    if refused:
        yield "RESULT     training would refuse this data"
    elif dropped:
        yield f"RESULT     training would drop {dropped:,} of {rows:,} rows"
    else:
        yield f"RESULT     training would use all {rows:,} rows"
    if warnings:
        yield f"look at    {', '.join(warnings)}".replace("_", " ")
    if refused:
        yield "next       fix what would be refused, and check again"
    if "overlap" in warnings:
        kinds = [report["overlap"].get(kind) or {"rows": 0} for kind in ("texts", "groups", "speakers")]
        columns = dict.fromkeys(shared["column"] for shared in kinds if shared["rows"] and "column" in shared)
        by = f" ({' or '.join(columns)})" if columns else ""
        yield f"next       remove the overlap from one side, or hold out by data.group_column{by}"
    for manifest in manifests:
        yield f"written    {manifest['path']}: {manifest['rows']:,} rows of {manifest['source']}"
        if manifest["other_rows"]:
            yield f"           and {manifest['other_rows']:,} of splits that the run does not read, unchecked"
        yield from (f"not in it  {what}" for what in manifest["left_out"])
        where = " in this source" * (len(manifests) > 1)
        yield f"next       train with the same settings, but{where}: {_changed(manifest, manifests)}"
    if (dropped or refused) and kept and not manifests:
        yield f"next       --write_clean FILE.jsonl writes a manifest of the {kept:,} kept rows, to train on"
    if not dropped and not refused and not manifests:
        yield "next       accel-asr train, or accelerate launch accel_asr/train.py, with the same settings"


def _changed(manifest: Report, manifests: list[Report]) -> str:
    """Settings as the command line takes them, or as they are written in a list of sources."""
    if len(manifests) == 1:
        return " ".join(f"--data.{name} {value}" for name, value in manifest["settings"].items())
    return ", ".join(f"{name}: {value}" for name, value in manifest["settings"].items())


def _examples(examples: Iterable[str]) -> Iterator[str]:
    """The first examples, indented."""
    lines = list(examples)
    yield from (f"    {line}" for line in lines[:SHOWN])
    if len(lines) > SHOWN:
        yield f"    {MORE}"


def _equal(ids: list[str]) -> str:
    return " = ".join(ids[:_SHOWN_OF_GROUP])


def row_count(section: Report) -> str:
    """`1 row`, `1,234 rows`."""
    return "1 row" if section["rows"] == 1 else f"{section['rows']:,} rows"


def size(utterances: dict[str, Any] | None) -> str:
    """`1,234 utterances, 5.6 hours`; minutes if it is less than an hour."""
    if utterances is None:
        return "unknown, for the reason given below"
    count = "1 utterance" if utterances["utterances"] == 1 else f"{utterances['utterances']:,} utterances"
    hours = utterances["hours"]
    return f"{count}, " + (f"{hours * 60:.1f} minutes" if hours < 1 else f"{hours:,.1f} hours")


def cut(text: str, most: int) -> str:
    """At most `most` characters, with an ellipsis at the end where it is longer."""
    return text if len(text) <= most else text[: most - 1] + "…"
