"""What the run was trained and scored on, and what was left out, from data_summary.json."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from accel_asr.console.printing import counted
from accel_asr.console.public_text import public
from accel_asr.reporting.run_records import RunRecords
from accel_asr.reporting.wording import hours, seconds, small

MAX_EXAMPLES = 20
MAX_NAME = 200  # characters
MAX_NOTICES = 30
SOURCE_FACTS = ("subset", "revision", "train_split", "eval_split", "language", "task", "weight")


@dataclass(frozen=True)
class DroppedRows:
    """Why rows were left out, how many, and the first of them: (utterance id, details)."""

    reason: str
    count: int
    examples: list[tuple[str, str]]


@dataclass(frozen=True)
class DataAccount:
    """`parts`: (part, {title: value}) of training and validation. `text_steps`: what was done to every text."""

    parts: list[tuple[str, dict[str, str]]]
    sources: list[tuple[str, str]]
    text_steps: list[str]
    dropped: list[DroppedRows]
    notices: list[str]


def data_account(records: RunRecords) -> DataAccount:
    """Empty if the run has not read its data yet."""
    summary = records.data_summary
    dropped = [
        DroppedRows(reason, int(rows["count"]), _examples(rows.get("examples", ())))
        for reason, rows in summary.get("dropped", {}).items()
    ]
    in_training = dict(summary.get("left_out_in_training", {}))
    unreadable = in_training.pop("unreadable", ())
    dropped += [
        DroppedRows(f"{reason} (left out of the stream)", int(rows), []) for reason, rows in in_training.items()
    ]
    if unreadable:
        recordings = [recording for line in records.left_out_lines for recording in line.get("recordings", ())]
        dropped.append(DroppedRows("could not be decoded during training", len(unreadable), _examples(recordings)))
    parts = {"Training": summary.get("train"), "Validation": summary.get("validation")}
    facts = [(title, _facts(part)) for title, part in parts.items() if part is not None]
    if no_speech := summary.get("no_speech"):
        clips = {"utterances": f"{no_speech['clips']:,}", "audio": hours(no_speech["hours"])}
        facts.insert(1, ("Training, without speech", clips))
    return DataAccount(
        parts=facts,
        sources=_sources(summary),
        text_steps=_text_steps(summary.get("text", {})),
        dropped=dropped,
        notices=[public(notice) for notice in summary.get("notices", ())][:MAX_NOTICES],
    )


def _facts(part: Mapping[str, Any]) -> dict[str, str]:
    if part.get("streamed"):
        return {"utterances": f"streamed from {counted(part['shards'], 'shard')}"}
    return {
        "utterances": f"{part['utterances']:,}",
        "audio": hours(part["hours"]),
        "shortest": seconds(part["shortest_s"]),
        "longest": seconds(part["longest_s"]),
        "longest text": counted(part["longest_label_tokens"], "token"),
    }


def _sources(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, details)."""
    named = []
    sources: Sequence[Mapping[str, Any]] = summary.get("sources") or [summary.get("source", {})]
    for source in sources:
        facts = [
            f"{name} {small(value) if isinstance(value, float) else value}"
            for name in SOURCE_FACTS
            if (value := source.get(name)) is not None
        ]
        facts += ["replayed"] if source.get("replay") else []
        facts += ["not in the validation data"] if source.get("validate") is False else []
        if source.get("name_or_path"):
            title = ": ".join(filter(None, [source.get("name"), source["name_or_path"]]))
            named.append((public(title), ", ".join(facts)))
    return named


def _text_steps(text: Mapping[str, Any]) -> list[str]:
    steps = [f"“{old}” replaced by “{new}”" for old, new in text.get("replacements", {}).items()]
    steps += ["times written in them taken out"] if text.get("written_times") == "read" else []
    steps += ["punctuation removed"] if text.get("remove_punctuation") else []
    return steps + (["turned into lower case"] if text.get("lowercase") else [])


def _examples(examples: Sequence[Sequence[str]]) -> list[tuple[str, str]]:
    return [(public(str(name))[:MAX_NAME], str(details)[:MAX_NAME]) for name, details in examples[:MAX_EXAMPLES]]
