"""From an index to utterances that can be trained on or scored: filters with reasons, nothing decoded."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from xxhash import xxh3_64

from accel_asr.console.public_text import visible
from accel_asr.data.indexing.cached_columns import kept_numbers
from accel_asr.data.indexing.index import Index
from accel_asr.data.labels import TASKS, LabelEncoder
from accel_asr.data.reading.audio_paths import named
from accel_asr.data.selection.utterances import Part, Utterances
from accel_asr.errors import UserError
from accel_asr.model.languages import unknown_language

MAX_EXAMPLES = 20
UNDECODABLE = "undecodable audio"


@dataclass
class Drops:
    """What was left out, by reason: how many, and the first of them, each with its utterance id and the particulars."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def add(self, reason: str, count: int, examples: list[tuple[str, str]]) -> None:
        """Count some more, and keep the first examples."""
        if count:
            self.counts[reason] += count
            kept = self.examples.setdefault(reason, [])
            kept.extend(examples[: MAX_EXAMPLES - len(kept)])

    def merge(self, other: "Drops") -> None:
        for reason, count in other.counts.items():
            self.add(reason, count, other.examples[reason])

    def sentence(self) -> str:
        """`dropped 101 (longer than 30 s), 17 (empty text)`, or `dropped none`."""
        counts = [f"{count:,} ({reason})" for reason, count in self.counts.items()]
        return "dropped " + (", ".join(counts) or "none")

    def summary(self) -> dict[str, Any]:
        """For data_summary.json: count and the first examples of each reason."""
        return {
            reason: {"count": count, "examples": [list(example) for example in self.examples[reason]]}
            for reason, count in self.counts.items()
        }


def prepare_utterances(
    part: Part,
    *,
    encoder: LabelEncoder,
    max_duration_s: float,
    max_bad_fraction: float,
    cut_long_labels: bool = False,
    keep_empty_texts: bool = False,
) -> tuple[Utterances, Drops]:
    """`sift` a part, and refuse what a run can't begin with.

    Raises:
        UserError: more than `max_bad_fraction` of the rows can't be read, a language or task that there is not, or
            no row is left.
    """
    kept, drops = sift(
        part,
        encoder=encoder,
        max_duration_s=max_duration_s,
        cut_long_labels=cut_long_labels,
        keep_empty_texts=keep_empty_texts,
    )
    refused = refusals(part, kept, drops, encoder=encoder, max_bad_fraction=max_bad_fraction)
    if refused:
        raise UserError("\n".join(refused))
    return kept, drops


def sift(
    part: Part,
    *,
    encoder: LabelEncoder,
    max_duration_s: float,
    cut_long_labels: bool = False,
    keep_empty_texts: bool = False,
) -> tuple[Utterances, Drops]:
    """The rows of a part that can be used, in order, and the account of the others.

    Clips longer than `max_duration_s`, rows without text, and labels that the decoder's positions can't hold are
    left out with their reason; the latter are kept and cut if `cut_long_labels`, and rows whose text is there, but
    empty, are kept if `keep_empty_texts`: nothing is said in them.
    """
    index = part.index
    durations_s = index.durations_s
    lengths = label_lengths(part, encoder)
    # the decoder reads all but the last token; one more place for the end time of a timestamped label
    too_long = lengths > encoder.max_label_tokens
    no_text = lengths == 0
    if keep_empty_texts and no_text.any():
        no_text = np.array([text is None for texts in index.texts() for text in texts], dtype=bool)
    reasons: list[tuple[str, np.ndarray, Callable[[int], str]]] = [
        (UNDECODABLE, np.isnan(durations_s), lambda row: index.text_of("problem", row) or ""),
        ("no text", no_text, lambda row: "null" if index.text_of("text", row) is None else "empty"),
        *(
            (reason, np.isin(np.arange(len(index)), list(found)), found.__getitem__)
            for reason, found in written_faults(part).items()
        ),
        (
            f"longer than {max_duration_s:g} s",
            durations_s > max_duration_s,
            lambda row: f"{durations_s[row]:.3f} s",
        ),
        (
            f"label longer than {encoder.max_label_tokens} tokens",
            too_long & (not cut_long_labels),
            lambda row: f"{lengths[row]} tokens",
        ),
    ]
    drops = Drops()
    keep = np.ones(len(index), dtype=bool)
    for reason, wrong, detail in reasons:
        dropped = np.flatnonzero(wrong & keep)
        first = dropped[:MAX_EXAMPLES].tolist()
        drops.add(reason, len(dropped), [(part.prefix + _id(index, row), detail(row)) for row in first])
        keep[dropped] = False
    return Utterances.of_part(part, np.flatnonzero(keep)), drops


def refusals(
    part: Part, kept: Utterances, drops: Drops, *, encoder: LabelEncoder, max_bad_fraction: float
) -> list[str]:
    """Why a run can't begin with what was kept of a part: messages for the user, none where it can."""
    problems = _language_and_task_problems(part, encoder)
    problems += _unreadable_problems(part.index, max_bad_fraction)
    is_said = bool(problems) and set(drops.counts) == {UNDECODABLE}
    if not len(kept) and not is_said:
        problems.append(f"data.name_or_path: no utterance is left after the filters ({drops.sentence()})")
    return problems


def written_faults(part: Part) -> dict[str, dict[int, str]]:
    """Rows whose text or previous text has control tokens or times written in it that can't be learnt, by reason."""
    found: dict[str, dict[int, str]] = {}
    index, durations_s = part.index, part.index.durations_s
    for row in index.rows_with("text", "<|"):
        if fault := part.text.fault(index.text_of("text", row) or "", duration_s=float(durations_s[row])):
            found.setdefault(fault[0], {})[row] = fault[1]
    for row in index.rows_with("prompt", "<|"):
        if fault := part.text.fault_of_previous(index.text_of("prompt", row) or ""):
            found.setdefault(fault[0], {}).setdefault(row, fault[1])
    return found


def label_lengths(part: Part, encoder: LabelEncoder, *, follows: bool = False) -> np.ndarray:
    """Tokens of each row's label, shape (rows,), 0 where there is no text; kept beside the index for the next time.

    Args:
        follows: Of the texts with a space before each, as those have that follow another in the label of a pack.

    Raises:
        UserError: they can't be written there.
    """
    index = part.index
    tokenizer = encoder.tokenizer
    facts = [asdict(part.text), tokenizer.backend_tokenizer.to_str(), encoder.prefix(), *(["follows"] * follows)]
    facts.append("without added tokens")  # as texts are spelt since; those of before are not read again

    def compute() -> np.ndarray:
        pieces = []
        for texts in index.texts():
            processed = [part.text(text) if text else "" for text in texts]
            counts = encoder.lengths([f" {text}" for text in processed] if follows else processed)
            for place, text in enumerate(texts):
                if timed := part.text.timed(text) if text and "<|" in text else ():
                    counts[place] = max(counts[place], encoder.timed_length(timed, follows=follows))
            counts[[not text for text in processed]] = 0
            pieces.append(counts)
        return np.concatenate(pieces)

    return kept_numbers(index, "label-lengths", facts, compute)


def fingerprint(utterances: Utterances) -> int:
    """A checksum of recordings, texts and their order: training can only be gone on with on the same data, and scores
    of other data can't be compared."""
    checksum = xxh3_64()
    for part in utterances.parts:
        told = [part.index.facts["checksum"], part.name, part.channel, part.language, part.task, asdict(part.text)]
        checksum.update(json.dumps(told, sort_keys=True).encode())
    checksum.update(utterances.part_of.tobytes())
    checksum.update(utterances.row_of.tobytes())
    return checksum.intdigest()


def hours(utterances: Utterances) -> float:
    """Hours of audio."""
    return float(utterances.durations_s().sum()) / 3600


def _id(index: Index, row: int) -> str:
    return index.text_of("utterance_id", row) or ""


def _unreadable_problems(index: Index, max_bad_fraction: float) -> list[str]:
    unreadable = np.flatnonzero(np.isnan(index.durations_s))
    if len(unreadable) <= max_bad_fraction * len(index):
        return []
    first = unreadable[:MAX_EXAMPLES].tolist()
    lines = "\n".join(f"  {_id(index, row)}: {visible(index.text_of('problem', row) or '')}" for row in first)
    more = f"\n  and {len(unreadable) - MAX_EXAMPLES} more" if len(unreadable) > MAX_EXAMPLES else ""
    return [
        f"data.max_bad_fraction: {len(unreadable)} of {len(index)} recordings can't be decoded, more than "
        f"the share of {max_bad_fraction:g} that is let pass; mend them or raise --data.max_bad_fraction:\n"
        f"{lines}{more}"
    ]


def _language_and_task_problems(part: Part, encoder: LabelEncoder) -> list[str]:
    """What the model has no token for: a row that is taught in a wrong language does harm in silence."""
    problems = []
    known = encoder.languages or frozenset(["en"])
    if part.language is not None and not encoder.knows_language(part.language):
        problems.append(f"data.sources: language of {part.name!r}: {unknown_language(part.language, known)}")
    languages = Counter(_distinct(part.index, "language"))
    unknown = {said: count for said, count in languages.items() if not encoder.knows_language(said)}
    if unknown:
        names = named([repr(name) for name in sorted(unknown)])
        problems.append(
            f"data.language_column: {sum(unknown.values()):,} of {len(part.index):,} rows are in a language that the "
            f"model does not know ({names}); mend the column, or set data.language_column to null and model.language "
            f"to what is spoken. {min(unknown)!r}: {unknown_language(min(unknown), known)}"
        )
    tasks = Counter(said for said in _distinct(part.index, "task") if said not in TASKS)
    if tasks:
        problems.append(
            f"data.task_column: {sum(tasks.values()):,} of {len(part.index):,} rows say neither {' nor '.join(TASKS)} "
            f"({named([repr(name) for name in sorted(tasks)])}); mend the column, or leave out data.task_column"
        )
    return problems


def _distinct(index: Index, name: str) -> Iterator[str]:
    """The cells of a column that say something."""
    if index.has_any(name):
        for texts in index.texts(name):
            yield from (text for text in texts if text)
