"""What training would keep, drop and refuse of its data, without the end that a run would come to: nothing is trained.

Everything is decoded while it is indexed, so that what only training would have met is known before it.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from accel_asr.config.settings import DataConfig, SourceConfig
from accel_asr.data.checking.model_limits import ModelLimits
from accel_asr.data.indexing.index import INDEX_FILE, Index
from accel_asr.data.labels import TASKS
from accel_asr.data.selection.overlap import VALIDATED_ON, settle_overlap
from accel_asr.data.selection.preparation import MAX_EXAMPLES, Drops, refusals, sift
from accel_asr.data.selection.run_sources import open_part, resolved_sources, training_split
from accel_asr.data.selection.utterances import Part, Utterances
from accel_asr.data.splits import given_validation, held_out
from accel_asr.errors import UserError
from accel_asr.model.languages import language_name

UNKNOWN_LANGUAGE = "language that the model does not know"
NO_LANGUAGE = "no language, and model.language is not set"
UNKNOWN_TASK = f"task neither {' nor '.join(TASKS)}"


@dataclass(frozen=True)
class CheckedPart:
    """One split of one source: what is kept of it, and the account of the rest. `validates` if it is an eval_split."""

    source: SourceConfig
    split: str
    validates: bool
    part: Part
    kept: Utterances
    drops: Drops

    @property
    def label(self) -> str:
        return self.part.prefix + self.split


@dataclass(frozen=True)
class Checked:
    """All that a run would read, split as it would split it.

    `refusals` are the messages with which training would end before its first step. `validation` is None where it
    could not be told apart.
    """

    data: DataConfig
    limits: ModelLimits
    parts: list[CheckedPart]
    train: Utterances
    validation: Utterances | None
    refusals: list[str]
    notices: list[str]

    @property
    def max_duration_s(self) -> float:
        """Clips as long as this, or longer, are dropped."""
        return min(self.data.max_duration_s, self.limits.window_s)


def check(data: DataConfig, limits: ModelLimits, *, seed: int) -> Checked:
    """Open every source and split that training with these settings would, and do to it what training would.

    Args:
        seed: That of the held-out rows, `training.seed`.

    Raises:
        UserError: a source can't be read.
    """
    sources = resolved_sources(data)
    parts: list[CheckedPart] = []
    refusals: list[str] = []
    notices: list[str] = []

    def prepare(source: SourceConfig, split: str, *, validates: bool = True) -> Utterances:
        several = len(sources) > 1
        part, told = open_part(
            data,
            source,
            split,
            sampling_rate_hz=limits.sampling_rate_hz,
            validates=validates,
            several=several,
            decode_all=True,
        )
        kept, drops, refused = _as_training_would(part, data, limits)
        parts.append(CheckedPart(source, split, validates, part, kept, drops))
        refusals.extend(f"{part.prefix}{split}: {message}" for message in refused)
        notices.extend(notice for notice in told if notice not in notices)
        return kept

    train = []
    for source in sources:
        split, told = training_split(data, source)
        notices += told
        train.append(prepare(source, split, validates=False))
    validation = None
    is_split = True
    try:
        validation = given_validation(data, sources, train, prepare)
        if validation is None and any(map(len, train)):  # else it has been said that nothing is left
            train, validation, told = held_out(data, sources, train, seed=seed)
            notices += told
    except UserError as error:
        refusals.append(str(error))
        is_split = False
        given = [part.kept for part in parts if part.validates]
        validation = Utterances.together(given) if given else None
    if validation is not None and is_split and len(validation):
        try:
            settled = settle_overlap(train, validation, overlap=data.overlap)
        except UserError as error:
            refusals.append(str(error))
        else:
            notices += settled.notices
            for number, mask in enumerate(settled.left_out):
                parts[number] = _without(parts[number], train[number].select(mask))
            train = settled.train
    return Checked(data, limits, parts, Utterances.together(train), validation, refusals, notices)


def _without(checked: CheckedPart, validated: Utterances) -> CheckedPart:
    """A part without the utterances that are also validated on."""
    checked.drops.add(VALIDATED_ON, len(validated), [(name, "") for name in validated[:MAX_EXAMPLES].ids()])
    kept = checked.kept
    return replace(checked, kept=kept.select(~np.isin(kept.row_of, validated.row_of)))


def columns_of(index: Index) -> pa.Table:
    """All columns of an index, as `index.SCHEMA` has them, mapped into memory."""
    return pa.ipc.open_file(pa.memory_map(str(index.folder / INDEX_FILE))).read_all()


def language_of(said: str | None, part: Part, limits: ModelLimits) -> str | None:
    """The language that a row is taught in, as the model names it where it knows it; None where nothing says it."""
    told = said or part.language
    if told is None:
        return limits.language if limits.encoder.languages else "en"
    return language_name(told)


def _as_training_would(part: Part, data: DataConfig, limits: ModelLimits) -> tuple[Utterances, Drops, list[str]]:
    """What training keeps and drops of a part, and what it refuses, where it would end.

    Rows in a language or with a task that there is not make training end; here they are left out, and counted.
    """
    encoder = limits.encoder
    kept, drops = sift(
        part,
        encoder=encoder,
        max_duration_s=min(data.max_duration_s, limits.window_s),
        cut_long_labels=data.long_labels == "cut",
    )
    refused = refusals(part, kept, drops, encoder=encoder, max_bad_fraction=data.max_bad_fraction)
    rows = kept.row_of
    for reason, wrong in _wrong_languages_and_tasks(part, limits):
        dropped = rows[wrong[rows]]
        drops.add(reason, len(dropped), _examples(part, dropped, "task" if reason == UNKNOWN_TASK else "language"))
        rows = rows[~wrong[rows]]
        if reason == NO_LANGUAGE and len(dropped):
            refused.append(
                f"model.language is not set, and {len(dropped):,} of {len(part.index):,} rows do not say what is "
                "spoken; fill in data.language_column, or give --model.language"
            )
    return Utterances.of_part(part, rows), drops, refused


def _wrong_languages_and_tasks(part: Part, limits: ModelLimits) -> list[tuple[str, np.ndarray]]:
    """Rows that training refuses, by reason, as masks of shape (rows,)."""
    encoder = limits.encoder

    def is_known(said: str | None) -> bool:
        told = language_of(said, part, limits)
        return told is None or encoder.knows_language(told)

    return [
        (UNKNOWN_LANGUAGE, _mask(part, "language", lambda said: not is_known(said))),
        (NO_LANGUAGE, _mask(part, "language", lambda said: language_of(said, part, limits) is None)),
        (UNKNOWN_TASK, _mask(part, "task", lambda said: said is not None and said not in TASKS)),
    ]


def _mask(part: Part, name: str, is_wrong: Any) -> np.ndarray:
    """The rows whose cell `is_wrong`, which is asked once for each different cell."""
    cells = columns_of(part.index).column(name).combine_chunks().dictionary_encode()
    codes = cells.indices.fill_null(len(cells.dictionary)).to_numpy()
    wrong: np.ndarray = np.array([is_wrong(said) for said in [*cells.dictionary.to_pylist(), None]])[codes]
    return wrong


def _examples(part: Part, rows: np.ndarray, name: str) -> list[tuple[str, str]]:
    index = part.index
    first = rows[:MAX_EXAMPLES].tolist()
    return [(f"{part.prefix}{index.text_of('utterance_id', row)}", index.text_of(name, row) or "none") for row in first]
