"""What the run was trained and scored on, and what was left out of it, as data_summary.json tells it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from accel_asr.console.public_text import public
from accel_asr.reporting.run_records import RunRecords
from accel_asr.reporting.wording import count, hours, seconds, small

MAX_EXAMPLES = 20
MAX_NAME = 200  # characters
MAX_NOTICES = 30


@dataclass(frozen=True)
class Reason:
    """Why rows were left out, how many, and the first of them: (utterance id, particulars)."""

    reason: str
    count: int
    examples: list[tuple[str, str]]


@dataclass(frozen=True)
class DataAccount:
    """`parts`: (part, {title: value}) of training and validation. `text_steps`: what was done to every text."""

    parts: list[tuple[str, dict[str, str]]]
    sources: list[tuple[str, str]]
    text_steps: list[str]
    dropped: list[Reason]
    notices: list[str]


def data_account(records: RunRecords) -> DataAccount:
    """Of a run that has not come so far, with nothing in it."""
    summary = records.data_summary
    dropped = [
        Reason(reason, int(told["count"]), _examples(told.get("examples", ())))
        for reason, told in summary.get("dropped", {}).items()
    ]
    later = dict(summary.get("left_out_in_training", {}))
    unreadable = later.pop("unreadable", ())
    dropped += [Reason(f"{reason} (left out of the stream)", int(number), []) for reason, number in later.items()]
    if unreadable:
        dropped.append(Reason("could not be used when its turn came", len(unreadable), _left_out(records)))
    return DataAccount(
        parts=[
            (title, _facts(summary[part]))
            for part, title in (("train", "Training"), ("validation", "Validation"))
            if part in summary
        ],
        sources=_sources(summary),
        text_steps=_text_steps(summary.get("text", {})),
        dropped=dropped,
        notices=[public(notice) for notice in summary.get("notices", ())][:MAX_NOTICES],
    )


def _facts(part: Mapping[str, Any]) -> dict[str, str]:
    if part.get("streamed"):
        return {"utterances": f"streamed from {count(part['shards'], 'shard')}"}
    return {
        "utterances": f"{part['utterances']:,}",
        "audio": hours(part["hours"]),
        "shortest": seconds(part["shortest_s"]),
        "longest": seconds(part["longest_s"]),
        "longest text": count(part["longest_label_tokens"], "token"),
    }


def _sources(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, particulars)."""
    told = []
    sources: Sequence[Mapping[str, Any]] = summary.get("sources") or [summary.get("source", {})]
    for source in sources:
        facts = [
            f"{name} {small(value) if isinstance(value, float) else value}"
            for name in ("subset", "revision", "train_split", "eval_split", "language", "task", "weight")
            if (value := source.get(name)) is not None
        ]
        if source.get("validate") is False:
            facts.append("not validated on")
        if source.get("name_or_path"):
            name = source.get("name")
            title = f"{name}: {source['name_or_path']}" if name else source["name_or_path"]
            told.append((public(title), ", ".join(facts)))
    return told


def _text_steps(text: Mapping[str, Any]) -> list[str]:
    steps = [f"“{old}” replaced by “{new}”" for old, new in text.get("replacements", {}).items()]
    steps += ["times that were written in them taken out"] if text.get("written_times") == "read" else []
    steps += ["punctuation removed"] if text.get("remove_punctuation") else []
    return steps + (["turned into lower case"] if text.get("lowercase") else [])


def _examples(examples: Sequence[Sequence[str]]) -> list[tuple[str, str]]:
    return [(public(str(name))[:MAX_NAME], str(told)[:MAX_NAME]) for name, told in examples[:MAX_EXAMPLES]]


def _left_out(records: RunRecords) -> list[tuple[str, str]]:
    found = [recording for line in records.left_out_lines for recording in line.get("recordings", ())]
    return _examples(found)
