"""From an index to utterances that can be trained on or scored: each dropped row has a reason; nothing is decoded."""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from xxhash import xxh3_64

from accel_asr.config.settings import DataConfig
from accel_asr.console.public_text import visible
from accel_asr.data.indexing.cached_columns import kept_numbers
from accel_asr.data.indexing.index import Index
from accel_asr.data.labels import TASKS, LabelEncoder
from accel_asr.data.reading.source_table import first_few
from accel_asr.data.selection.utterances import Part, Utterances
from accel_asr.errors import UserError, raise_all
from accel_asr.model.languages import unknown_language

MAX_EXAMPLES = 20
UNDECODABLE = "undecodable audio"


@dataclass
class Drops:
    """Rows that were left out, by reason: how many, and the first examples as (utterance id, detail)."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def add(self, reason: str, count: int, examples: list[tuple[str, str]]) -> None:
        if count:
            self.counts[reason] += count
            examples_so_far = self.examples.setdefault(reason, [])
            examples_so_far.extend(examples[: MAX_EXAMPLES - len(examples_so_far)])

    def merge(self, other: "Drops") -> None:
        for reason, count in other.counts.items():
            self.add(reason, count, other.examples[reason])

    def sentence(self) -> str:
        """`dropped 101 (longer than 30 s), 17 (empty text)`, or `dropped none`."""
        counts = [f"{count:,} ({reason})" for reason, count in self.counts.items()]
        return "dropped " + (", ".join(counts) or "none")

    def summary(self) -> dict[str, Any]:
        """Count and first examples of each reason, for data_summary.json."""
        return {
            reason: {"count": count, "examples": [list(example) for example in self.examples[reason]]}
            for reason, count in self.counts.items()
        }


def prepare_utterances(
    part: Part,
    data: DataConfig,
    *,
    encoder: LabelEncoder,
    window_s: float,
    keep_empty_texts: bool = False,
    keep_long: bool = False,
) -> tuple[Utterances, Drops]:
    """`sift` a part, and refuse what a run can't start with.

    Raises:
        UserError: more than `data.max_bad_fraction` of the rows can't be read, a language or task is unknown, or no row
            is left.
    """
    kept, drops, refusals = sift(
        part, data, encoder=encoder, window_s=window_s, keep_empty_texts=keep_empty_texts, keep_long=keep_long
    )
    raise_all(refusals)
    return kept, drops


def sift(
    part: Part,
    data: DataConfig,
    *,
    encoder: LabelEncoder,
    window_s: float,
    keep_empty_texts: bool = False,
    keep_long: bool = False,
) -> tuple[Utterances, Drops, list[UserError]]:
    """The rows of a part that can be used, in order; what was dropped; and why a run can't start with them, if so.

    Args:
        window_s: The model's window; it caps `data.max_duration_s`.
        keep_empty_texts: Keep rows whose text is empty rather than missing: nothing is spoken in them.
        keep_long: Keep rows of any length: those longer than the window are transcribed from window to window.
    """
    index = part.index
    durations_s = index.durations_s
    max_duration_s = math.inf if keep_long else min(data.max_duration_s, window_s)
    lengths = label_lengths(part, encoder)
    # the decoder reads all but the last token, which leaves room for the end time of a timestamped label
    is_windowed = durations_s > window_s if keep_long else np.zeros(len(index), dtype=bool)
    is_too_long = (lengths > encoder.max_label_tokens) & (data.long_labels != "cut") & ~is_windowed
    no_text = lengths == 0
    if keep_empty_texts and no_text.any():
        no_text = np.array([text is None for texts in index.texts() for text in texts], dtype=bool)
    reasons: list[tuple[str, np.ndarray, Callable[[int], str]]] = [
        (UNDECODABLE, np.isnan(durations_s), lambda row: index.text_of("problem", row) or ""),
        ("no text", no_text, lambda row: "null" if index.text_of("text", row) is None else "empty"),
        *(
            (reason, np.isin(np.arange(len(index)), list(details)), details.__getitem__)
            for reason, details in written_faults(part).items()
        ),
        (f"longer than {max_duration_s:g} s", durations_s > max_duration_s, lambda row: f"{durations_s[row]:.3f} s"),
        (f"label longer than {encoder.max_label_tokens} tokens", is_too_long, lambda row: f"{lengths[row]} tokens"),
    ]
    drops = Drops()
    keep = np.ones(len(index), dtype=bool)
    for reason, mask, detail in reasons:
        dropped = np.flatnonzero(mask & keep)
        first = dropped[:MAX_EXAMPLES].tolist()
        drops.add(reason, len(dropped), [(part.prefix + _id(index, row), detail(row)) for row in first])
        keep[dropped] = False
    refusals = [*_unknown_languages_and_tasks(part, encoder), *_too_many_unreadable(index, data.max_bad_fraction)]
    already_explained = bool(refusals) and set(drops.counts) == {UNDECODABLE}
    if not keep.any() and not already_explained:
        problem = f"no utterance is left after the filters ({drops.sentence()})"
        refusals.append(UserError(problem, setting="--data.name_or_path"))
    return Utterances.of_part(part, np.flatnonzero(keep)), drops, refusals


def written_faults(part: Part) -> dict[str, dict[int, str]]:
    """Rows whose text or prompt contains control tokens or times that can't be learnt: {reason: {row: detail}}."""
    faults: dict[str, dict[int, str]] = {}
    index, durations_s = part.index, part.index.durations_s
    for row in index.rows_with("text", "<|"):
        if fault := part.text.fault(index.text_of("text", row) or "", duration_s=float(durations_s[row])):
            faults.setdefault(fault[0], {})[row] = fault[1]
    for row in index.rows_with("prompt", "<|"):
        if fault := part.text.fault_of_previous(index.text_of("prompt", row) or ""):
            faults.setdefault(fault[0], {}).setdefault(row, fault[1])
    return faults


def label_lengths(part: Part, encoder: LabelEncoder, *, follows: bool = False) -> np.ndarray:
    """Tokens of each row's label, shape (rows,), 0 where there is no text; cached beside the index.

    Args:
        follows: Count each text with a space before it, as in the label of a pack where it follows another.

    Raises:
        UserError: the cache can't be written.
    """
    index = part.index
    tokenizer = encoder.tokenizer
    facts = [asdict(part.text), tokenizer.backend_tokenizer.to_str(), encoder.prefix(), *(["follows"] * follows)]
    facts.append("without added tokens")  # how texts are tokenized now: older caches are not read again

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
    """A checksum of recordings, texts and their order: resuming requires the same one, and so does comparing scores."""
    checksum = xxh3_64()
    for part in utterances.parts:
        facts = [part.index.facts["checksum"], part.name, part.channel, part.language, part.task, asdict(part.text)]
        checksum.update(json.dumps(facts, sort_keys=True).encode())
    checksum.update(utterances.part_of.tobytes())
    checksum.update(utterances.row_of.tobytes())
    return checksum.intdigest()


def hours(utterances: Utterances) -> float:
    """Hours of audio."""
    return float(utterances.durations_s().sum()) / 3600


def _id(index: Index, row: int) -> str:
    return index.text_of("utterance_id", row) or ""


def _too_many_unreadable(index: Index, max_bad_fraction: float) -> Iterator[UserError]:
    unreadable = np.flatnonzero(np.isnan(index.durations_s))
    if len(unreadable) <= max_bad_fraction * len(index):
        return
    first = unreadable[:MAX_EXAMPLES].tolist()
    lines = "\n".join(f"  {_id(index, row)}: {visible(index.text_of('problem', row) or '')}" for row in first)
    more = f"\n  and {len(unreadable) - MAX_EXAMPLES} more" if len(unreadable) > MAX_EXAMPLES else ""
    yield UserError(
        f"{len(unreadable)} of {len(index)} recordings can't be decoded, more than this share",
        setting="--data.max_bad_fraction",
        value=max_bad_fraction,
        remedy=f"fix them or raise the share:\n{lines}{more}",
    )


def _unknown_languages_and_tasks(part: Part, encoder: LabelEncoder) -> Iterator[UserError]:
    """Languages and tasks that the model has no token for: training on them as another would do silent harm."""
    rows = f"of {len(part.index):,} rows"
    known = encoder.languages or frozenset(["en"])
    if part.language is not None and not encoder.knows_language(part.language):
        yield UserError(
            f"language of {part.name!r}: {unknown_language(part.language, known)}", setting="--data.sources"
        )
    languages = {
        name: count for name, count in _cell_counts(part.index, "language").items() if not encoder.knows_language(name)
    }
    if languages:
        names = first_few([repr(name) for name in sorted(languages)])
        example = min(languages)
        yield UserError(
            f"{sum(languages.values()):,} {rows} are in a language that the model does not know ({names})",
            setting="--data.language_column",
            remedy="fix the column, or set data.language_column to null and model.language to what is spoken. "
            f"{example!r}: {unknown_language(example, known)}",
        )
    tasks = {name: count for name, count in _cell_counts(part.index, "task").items() if name not in TASKS}
    if tasks:
        yield UserError(
            f"{sum(tasks.values()):,} {rows} have a task other than {' and '.join(TASKS)} "
            f"({first_few([repr(name) for name in sorted(tasks)])})",
            setting="--data.task_column",
            remedy="fix the column, or leave out data.task_column",
        )


def _cell_counts(index: Index, name: str) -> Counter[str]:
    """How often each non-empty cell of a column occurs."""
    if not index.has_any(name):
        return Counter()
    return Counter(text for texts in index.texts(name) for text in texts if text)
