"""Sentences, speakers and groups that are both trained and validated on: reported, never refused."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from accel_asr.config.settings import DataConfig
from accel_asr.data.indexing.cached_columns import kept_numbers
from accel_asr.data.reading.source_table import first_few
from accel_asr.data.selection.preparation import MAX_EXAMPLES
from accel_asr.data.selection.utterances import Part, Utterances
from accel_asr.data.text_processing import comparable

_SHOWN_TEXT = 40  # letters
_SHOWN = 3


@dataclass(frozen=True)
class SharedValues:
    """Values that are on both sides: texts, speakers or groups (`kind`), `column` in the source.

    `rows` of the `of_rows` validation utterances have such a value; `values` of their `of_values` different values are
    shared. `examples` are the first of those.
    """

    kind: str
    column: str
    rows: int
    of_rows: int
    values: int
    of_values: int
    examples: list[str]

    def report(self) -> dict[str, Any]:
        """For data_summary.json and check-data, where it stands under its `kind`."""
        return {name: value for name, value in asdict(self).items() if name != "kind"}


def shared_values(data: DataConfig, train: Utterances, validation: Utterances) -> list[SharedValues]:
    """Texts, and groups and speakers where the sources have such columns; never the same column twice."""
    by_column = {"text": _shared_texts(train, validation)}
    for name in ("group", "speaker"):
        if name == "speaker" or data.group_column not in (None, data.text_column):
            shared = _shared_cells(train, validation, name)
            if shared is not None:
                by_column.setdefault(shared.column, shared)
    return list(by_column.values())


def _shared_texts(train: Utterances, validation: Utterances) -> SharedValues:
    """Sentences on both sides, ignoring case, punctuation and spaces."""
    trained, wanted = (utterances.numbers(_text_keys, np.uint64) for utterances in (train, validation))
    shared = np.isin(wanted, trained) & (wanted != 0)
    _, first = np.unique(wanted[shared], return_index=True)
    places = np.flatnonzero(shared)[np.sort(first)]
    texts = validation.select(places[:MAX_EXAMPLES]).cells("text")
    return SharedValues(
        "texts",
        "text",
        int(shared.sum()),
        len(validation),
        len(first),
        len(np.unique(wanted[wanted != 0])),
        [" ".join((text or "").split()) for text in texts],
    )


def _shared_cells(train: Utterances, validation: Utterances, name: str) -> SharedValues | None:
    """Speakers or groups (`name`) on both sides; None where no validation row has one."""
    if not any(part.index.has_any(name) for part in validation.parts):
        return None
    wanted, trained = validation.cells(name), set(train.cells(name))
    shared = [key for key in wanted if key is not None and key in trained]
    values = list(dict.fromkeys(shared))
    columns = {part.index.facts.get(f"{name}_column") for part in validation.parts} - {None}
    column = " or ".join(sorted(map(str, columns))) or name
    return SharedValues(
        f"{name}s", column, len(shared), len(wanted), len(values), len(set(wanted) - {None}), values[:MAX_EXAMPLES]
    )


def notices_of(all_shared: Sequence[SharedValues], *, is_held_out: bool) -> list[str]:
    """A line for each kind of value that is on both sides.

    Args:
        is_held_out: The run itself holds out random rows, so `data.group_column` alone would help.
    """
    notices = []
    for shared in all_shared:
        if not shared.rows:
            continue
        what = "texts" if shared.kind == "texts" else f"values of {shared.column}"
        shown = first_few([_cut(example) for example in shared.examples], most=_SHOWN)
        remedy = f"data.group_column: {shared.column} keeps each on one side"
        notices.append(
            f"{shared.values:,} of the {shared.of_values:,} {what} in validation are also in train "
            f"({shared.rows:,} of {shared.of_rows:,} utterances: {shown}), so scores say less about new ones; "
            + (remedy if is_held_out else f"fix the splits, or hold out by data.eval_fraction, where {remedy}")
        )
    return notices


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_TEXT else f"{text[: _SHOWN_TEXT - 1]}…"


def _text_keys(part: Part) -> np.ndarray:
    """A hash of each row's text as it is compared, uint64; 0 where there is none."""

    def compute() -> np.ndarray:
        texts = (comparable(text or "") for batch in part.index.texts() for text in batch)
        return np.fromiter((_key(text) for text in texts), dtype=np.uint64, count=len(part.index))

    return kept_numbers(part.index, "text-keys", ["comparable texts, 1"], compute)


def _key(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") if text else 0
