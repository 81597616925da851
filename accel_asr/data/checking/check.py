"""What training would keep, drop and refuse of its data; a refusal is recorded instead of raised, nothing is trained.

Everything is decoded while it is indexed, to find now what training would only meet later.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from accel_asr.config.settings import DataConfig, SourceConfig
from accel_asr.data.checking.model_limits import ModelLimits
from accel_asr.data.labels import TASKS
from accel_asr.data.selection.overlap import VALIDATED_ON, settle_overlap
from accel_asr.data.selection.preparation import MAX_EXAMPLES, Drops, sift
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
    """One split of one source: its kept rows, and why the others were dropped. `validates` if it is an eval_split."""

    source: SourceConfig
    split: str
    validates: bool
    part: Part
    kept: Utterances
    drops: Drops


@dataclass(frozen=True)
class Checked:
    """All that a run would read, split as it would split it.

    `refusals` are the messages with which training would end before its first step. `validation` is None where the
    rows can't be split.
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
        """Longer clips are dropped."""
        return min(self.data.max_duration_s, self.limits.window_s)


def check(data: DataConfig, limits: ModelLimits, *, seed: int) -> Checked:
    """Open, filter and split every source that training with these settings would, in the same way.

    Args:
        seed: `training.seed`, which chooses the held-out rows.

    Raises:
        UserError: a source can't be read.
    """
    sources = resolved_sources(data)
    parts: list[CheckedPart] = []
    refusals: list[str] = []
    notices: list[str] = []

    def prepare(source: SourceConfig, split: str, *, validates: bool = True) -> Utterances:
        part, part_notices = open_part(
            data,
            source,
            split,
            sampling_rate_hz=limits.sampling_rate_hz,
            validates=validates,
            several=len(sources) > 1,
            decode_all=True,
        )
        kept, drops, part_refusals = _as_training_would(part, data, limits)
        parts.append(CheckedPart(source, split, validates, part, kept, drops))
        refusals.extend(f"{part.prefix}{split}: {refusal}" for refusal in part_refusals)
        notices.extend(notice for notice in part_notices if notice not in notices)
        return kept

    train = []
    for source in sources:
        split, split_notices = training_split(data, source)
        notices += split_notices
        train.append(prepare(source, split, validates=False))
    validation = None
    try:
        validation = given_validation(data, sources, train, prepare)
        if validation is None and any(map(len, train)):  # otherwise a refusal says already that nothing is left
            train, validation, held_out_notices = held_out(data, sources, train, seed=seed)
            notices += held_out_notices
    except UserError as error:
        refusals.append(str(error))
        given = [part.kept for part in parts if part.validates]
        validation = Utterances.together(given) if given else None
        return Checked(data, limits, parts, Utterances.together(train), validation, refusals, notices)
    if validation:
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


def without_training_rows(checked: Checked, rows: Sequence[int]) -> Checked:
    """Keep these rows of `checked.train` neither in it nor in its part; rows that are validated on stay."""
    left_out = checked.train.select(np.asarray(rows, dtype=np.int64))
    parts = []
    for part in checked.parts:
        mine = [number for number, other in enumerate(left_out.parts) if other is part.part and not part.validates]
        gone = left_out.row_of[np.isin(left_out.part_of, mine)]
        parts.append(replace(part, kept=part.kept.select(~np.isin(part.kept.row_of, gone))))
    stays = ~np.isin(np.arange(len(checked.train)), rows)
    return replace(checked, parts=parts, train=checked.train.select(stays))


def _without(checked: CheckedPart, validated: Utterances) -> CheckedPart:
    """A part without the utterances that are also validated on."""
    checked.drops.add(VALIDATED_ON, len(validated), [(name, "") for name in validated[:MAX_EXAMPLES].ids()])
    return replace(checked, kept=checked.kept.select(~np.isin(checked.kept.row_of, validated.row_of)))


def cells_and_codes(part: Part, name: str) -> tuple[list[str | None], np.ndarray]:
    """The different cells of a column, the last of them None, and for each row the place of its cell, shape (rows,)."""
    column = part.index.column(name).combine_chunks().dictionary_encode()
    return [*column.dictionary.to_pylist(), None], column.indices.fill_null(len(column.dictionary)).to_numpy()


def language_of(cell: str | None, part: Part, limits: ModelLimits) -> str | None:
    """The language of a row with this cell, by the model's name for it where it has one; None where it isn't given."""
    language = cell or part.language
    if language is None:
        return limits.language if limits.encoder.languages else "en"
    return language_name(language)


def _as_training_would(part: Part, data: DataConfig, limits: ModelLimits) -> tuple[Utterances, Drops, list[UserError]]:
    """What training keeps and drops of a part, and why it would refuse it.

    Unknown languages and tasks make training end; here their rows are dropped and counted.
    """
    encoder = limits.encoder
    kept, drops, errors = sift(part, data, encoder=encoder, window_s=limits.window_s)

    def is_unknown(cell: str | None) -> bool:
        language = language_of(cell, part, limits)
        return language is not None and not encoder.knows_language(language)

    tests: list[tuple[str, str, Callable[[str | None], bool]]] = [
        (UNKNOWN_LANGUAGE, "language", is_unknown),
        (NO_LANGUAGE, "language", lambda cell: language_of(cell, part, limits) is None),
        (UNKNOWN_TASK, "task", lambda cell: cell is not None and cell not in TASKS),
    ]
    rows = kept.row_of
    for reason, column, is_wrong in tests:
        cells, codes = cells_and_codes(part, column)
        mask = np.array([is_wrong(cell) for cell in cells])[codes[rows]]
        dropped, rows = rows[mask], rows[~mask]
        drops.add(reason, len(dropped), _examples(part, dropped, column))
        if reason == NO_LANGUAGE and len(dropped):
            errors.append(
                UserError(
                    f"is not set, and {len(dropped):,} of {len(part.index):,} rows have no language",
                    setting="--model.language",
                    remedy="fill in data.language_column, or give --model.language",
                )
            )
    return Utterances.of_part(part, rows), drops, errors


def _examples(part: Part, rows: np.ndarray, name: str) -> list[tuple[str, str]]:
    index, first = part.index, rows[:MAX_EXAMPLES].tolist()
    return [(f"{part.prefix}{index.text_of('utterance_id', row)}", index.text_of(name, row) or "none") for row in first]
