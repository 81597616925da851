"""Utterances of validation whose recording is also trained on: scores would come out too good.

Two rows share a recording if their decoded samples are equal, where they were decoded, whichever lossless format the
files have; or if they are parts of one file, or of files with the same bytes, that overlap in time.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from accel_asr.data.reading.audio_paths import named
from accel_asr.data.selection.preparation import MAX_EXAMPLES
from accel_asr.data.selection.utterances import Utterances
from accel_asr.errors import UserError

VALIDATED_ON = "also validated on"
# segments are often cut with some air around them: what shares less than this of the shorter one is not the same speech
SAME_SPEECH = 0.25
_AIR_S = 0.05
_MOST_PAIRS = 10_000_000  # compared at once


@dataclass(frozen=True)
class SharedRecordings:
    """`validation` are places of utterances that are also trained on, and `partners` one such place in train for each.

    `trained` is a mask of all training utterances that are also validated on. `touching` counts utterances of
    validation that overlap in time with what is trained on, but little.
    """

    validation: np.ndarray
    partners: np.ndarray
    trained: np.ndarray
    touching: int = 0

    def examples(self, train: Utterances, validation: Utterances) -> list[list[str]]:
        """[id in validation, id in train] of the first."""
        first = slice(MAX_EXAMPLES)
        pairs = zip(
            validation.select(self.validation[first]).ids(), train.select(self.partners[first]).ids(), strict=True
        )
        return [list(pair) for pair in pairs]


@dataclass(frozen=True)
class Settled:
    """What is left to train on of each source, the masks of what was left out of it, and notices."""

    train: list[Utterances]
    left_out: list[np.ndarray]
    notices: list[str] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)


def settle_overlap(
    train: list[Utterances], validation: Utterances, *, overlap: Literal["refuse", "drop", "allow"]
) -> Settled:
    """Do as `data.overlap` says about recordings that are on both sides.

    Raises:
        UserError: there are some, and they are refused; or without them nothing is left to train on.
    """
    together = Utterances.together(train)
    shared = shared_recordings(together, validation)
    bounds = np.cumsum([len(one) for one in train])[:-1]
    masks = np.split(shared.trained, bounds)
    nothing = [np.zeros(len(one), dtype=bool) for one in train]
    pairs = shared.examples(together, validation)
    summary = {"validation_rows": len(shared.validation), "training_rows": int(shared.trained.sum()), "examples": pairs}
    notices = []
    if shared.touching:
        notices.append(
            f"{shared.touching:,} of {len(validation):,} validation utterances overlap a little in time with what is "
            "trained on"
        )
    if not len(shared.validation):
        return Settled(train, nothing, notices, summary)
    shown = named([mine if mine == other else f"{mine} = {other}" for mine, other in pairs])
    count = f"{len(shared.validation):,} of {len(validation):,} validation utterances"
    trained = f"{int(shared.trained.sum()):,} of {len(together):,} training utterances"
    if overlap == "allow":
        notices.append(f"{count} are also trained on, so scores come out too good (data.overlap: allow): {shown}")
        return Settled(train, nothing, notices, summary)
    if overlap == "refuse" or shared.trained.all():
        drop = "" if shared.trained.all() else f"give --data.overlap drop to leave {trained} out, or "
        raise UserError(
            f"data.overlap: {overlap}, but {count} are also trained on, so that scores would come out too good: "
            f"{shown}. Set other rows to validate on, or {drop}--data.overlap allow "
            "to train on them all the same"
        )
    notices.append(f"left {trained} out of training, as they are also validated on (data.overlap: drop): {shown}")
    left = [one.select(~mask) for one, mask in zip(train, masks, strict=True)]
    return Settled(left, masks, notices, summary)


def shared_recordings(train: Utterances, validation: Utterances) -> SharedRecordings:
    """Which recordings are on both sides."""
    partners = np.full(len(validation), -1, dtype=np.int64)
    trained = np.zeros(len(train), dtype=bool)
    _match_samples(train, validation, partners, trained)
    touching = _match_times(train, validation, partners, trained)
    shared = np.flatnonzero(partners >= 0)
    return SharedRecordings(shared, partners[shared], trained, int((touching & (partners < 0)).sum()))


def _match_samples(train: Utterances, validation: Utterances, partners: np.ndarray, trained: np.ndarray) -> None:
    """Note down the rows whose decoded samples are equal."""
    (hashes, places), (wanted, wanted_places) = _known(train), _known(validation)
    if not len(hashes) or not len(wanted):
        return
    known, first = np.unique(hashes, return_index=True)
    at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    equal = known[at] == wanted
    partners[wanted_places[equal]] = places[first[at[equal]]]
    trained[places[np.isin(hashes, wanted)]] = True


def _known(utterances: Utterances) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of the samples of those that were decoded, uint64, and their places."""
    hashes, known = _numbers(utterances, "audio_hash")
    return hashes[known], np.flatnonzero(known)


def _match_times(train: Utterances, validation: Utterances, partners: np.ndarray, trained: np.ndarray) -> np.ndarray:
    """Note down the rows that are one part of a file, or most of one; returns a mask of those that share a little."""
    touching = np.zeros(len(validation), dtype=bool)
    (codes, _), (wanted, _) = _numbers(train, "content"), _numbers(validation, "content")
    on_both = np.setdiff1d(np.intersect1d(codes, wanted), [0])
    trained_by_file, wanted_by_file = _places_by_code(codes, on_both), _places_by_code(wanted, on_both)
    begins, ends = _times(train)
    wanted_begins, wanted_ends = _times(validation)
    for others, all_mine in zip(trained_by_file, wanted_by_file, strict=True):
        step = max(_MOST_PAIRS // len(others), 1)
        for mine in np.split(all_mine, range(step, len(all_mine), step)):
            from_s = np.maximum(wanted_begins[mine, None], begins[others])
            shared_s = np.minimum(wanted_ends[mine, None], ends[others]) - from_s
            shorter_s = np.minimum((wanted_ends - wanted_begins)[mine, None], (ends - begins)[others])
            same = (shared_s > 0) & (shared_s >= SAME_SPEECH * shorter_s)
            hit = mine[same.any(axis=1)]
            partners[hit] = np.where(partners[hit] >= 0, partners[hit], others[same.argmax(axis=1)[same.any(axis=1)]])
            trained[others[same.any(axis=0)]] = True
            touching[mine] |= (shared_s > _AIR_S).any(axis=1)
    return touching


def _numbers(utterances: Utterances, name: str) -> tuple[np.ndarray, np.ndarray]:
    """A column of hashes of each, uint64, 0 where there is none; and a mask of those that have one."""
    hashes = np.zeros(len(utterances), dtype=np.uint64)
    known = np.zeros(len(utterances), dtype=bool)
    for number, part in enumerate(utterances.parts):
        mine = utterances.part_of == number
        if mine.any():
            column = part.index.column(name).take(pa.array(utterances.row_of[mine])).combine_chunks()
            known[mine] = column.is_valid().to_numpy(zero_copy_only=False)
            hashes[mine] = column.fill_null(0).to_numpy(zero_copy_only=False)
    return hashes, known


def _times(utterances: Utterances) -> tuple[np.ndarray, np.ndarray]:
    """Begin and end of each in its file, in seconds."""
    begins = np.nan_to_num(utterances.numbers(lambda part: part.index.numbers("start_s").astype(np.float64)))
    return begins, begins + utterances.durations_s()


def _places_by_code(codes: np.ndarray, wanted: np.ndarray) -> list[np.ndarray]:
    """The places of each of the wanted codes, in their order."""
    order = np.argsort(codes, kind="stable")
    begins, ends = (np.searchsorted(codes[order], wanted, side=side) for side in ("left", "right"))
    return [order[begin:end] for begin, end in zip(begins, ends, strict=True)]
