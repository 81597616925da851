"""Recordings that are both trained and validated on, which would make the scores look better than they are.

Two rows share a recording if their decoded samples are equal, whichever lossless format the files have; or if they are
segments of one file (or of files with the same bytes) that overlap in time.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from accel_asr.data.reading.source_table import first_few
from accel_asr.data.selection.preparation import MAX_EXAMPLES
from accel_asr.data.selection.utterances import Utterances
from accel_asr.errors import UserError

VALIDATED_ON = "also validated on"
# segments are often cut with some silence around them: sharing less than this of the shorter one is not the same speech
SAME_SPEECH = 0.25
_MARGIN_S = 0.05
_MOST_PAIRS = 10_000_000  # compared at once


@dataclass(frozen=True)
class SharedRecordings:
    """`validation`: places of utterances that are also trained on; `partners`: for each, one such place in train.

    `trained`: a mask of the training utterances that are also validated on. `touching`: how many validation utterances
    overlap only a little in time with a training utterance.
    """

    validation: np.ndarray
    partners: np.ndarray
    trained: np.ndarray
    touching: int = 0

    def examples(self, train: Utterances, validation: Utterances) -> list[list[str]]:
        """[id in validation, id in train] of the first."""
        ids = validation.select(self.validation[:MAX_EXAMPLES]).ids()
        return [list(pair) for pair in zip(ids, train.select(self.partners[:MAX_EXAMPLES]).ids(), strict=True)]


@dataclass(frozen=True)
class Settled:
    """The training utterances that remain of each source, the masks of those left out, and notices."""

    train: list[Utterances]
    left_out: list[np.ndarray]
    notices: list[str] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)


def settle_overlap(
    train: list[Utterances], validation: Utterances, *, overlap: Literal["refuse", "drop", "allow"]
) -> Settled:
    """Apply `data.overlap` to recordings that are on both sides.

    Raises:
        UserError: there are some, and they are refused; or dropping them would leave nothing to train on.
    """
    together = Utterances.together(train)
    shared = shared_recordings(together, validation)
    masks = np.split(shared.trained, np.cumsum([len(utterances) for utterances in train])[:-1])
    pairs = shared.examples(together, validation)
    summary = {"validation_rows": len(shared.validation), "training_rows": int(shared.trained.sum()), "examples": pairs}
    notices = []
    if shared.touching:
        notices.append(
            f"{shared.touching:,} of {len(validation):,} validation utterances overlap a little in time with what is "
            "trained on"
        )
    nothing = Settled(train, [np.zeros(len(utterances), dtype=bool) for utterances in train], notices, summary)
    if not len(shared.validation):
        return nothing
    examples = first_few([mine if mine == other else f"{mine} = {other}" for mine, other in pairs])
    count = f"{len(shared.validation):,} of {len(validation):,} validation utterances"
    trained = f"{int(shared.trained.sum()):,} of {len(together):,} training utterances"
    if overlap == "allow":
        notices.append(f"{count} are also trained on, so scores will look too good (data.overlap: allow): {examples}")
        return nothing
    if overlap == "refuse" or shared.trained.all():
        drop = "" if shared.trained.all() else f"give --data.overlap drop to leave {trained} out, or "
        raise UserError(
            f"{count} are also trained on, so scores would look too good: {examples}",
            setting="--data.overlap",
            value=overlap,
            remedy=f"validate on other rows, or {drop}--data.overlap allow to train on them anyway",
        )
    notices.append(f"left {trained} out of training, as they are also validated on (data.overlap: drop): {examples}")
    remaining = [utterances.select(~mask) for utterances, mask in zip(train, masks, strict=True)]
    return Settled(remaining, masks, notices, summary)


def shared_recordings(train: Utterances, validation: Utterances) -> SharedRecordings:
    """Which recordings are on both sides."""
    partners = np.full(len(validation), -1, dtype=np.int64)
    trained = np.zeros(len(train), dtype=bool)
    _match_samples(train, validation, partners, trained)
    touching = _match_times(train, validation, partners, trained)
    shared = np.flatnonzero(partners >= 0)
    return SharedRecordings(shared, partners[shared], trained, int((touching & (partners < 0)).sum()))


def _match_samples(train: Utterances, validation: Utterances, partners: np.ndarray, trained: np.ndarray) -> None:
    """Note the rows whose decoded samples are equal."""
    hashes, places = _decoded(train)
    wanted, wanted_places = _decoded(validation)
    if not len(hashes) or not len(wanted):
        return
    unique, first = np.unique(hashes, return_index=True)
    at = np.minimum(np.searchsorted(unique, wanted), len(unique) - 1)
    equal = unique[at] == wanted
    partners[wanted_places[equal]] = places[first[at[equal]]]
    trained[places[np.isin(hashes, wanted)]] = True


def _decoded(utterances: Utterances) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of the samples of the utterances that were decoded, uint64, and their places."""
    is_known = utterances.numbers(lambda part: part.index.column("audio_hash").is_valid().to_numpy(), bool)
    return utterances.column("audio_hash", np.uint64)[is_known], np.flatnonzero(is_known)


def _match_times(train: Utterances, validation: Utterances, partners: np.ndarray, trained: np.ndarray) -> np.ndarray:
    """Note the segments of one file that share most of their time; returns a mask of those that share only a little."""
    touching = np.zeros(len(validation), dtype=bool)
    files, wanted = train.column("content", np.uint64), validation.column("content", np.uint64)  # 0: not known
    on_both = np.setdiff1d(np.intersect1d(files, wanted), [0])
    begins, ends = _times(train)
    wanted_begins, wanted_ends = _times(validation)
    for others, all_mine in zip(_places_by_code(files, on_both), _places_by_code(wanted, on_both), strict=True):
        step = max(_MOST_PAIRS // len(others), 1)
        for mine in np.split(all_mine, range(step, len(all_mine), step)):
            from_s = np.maximum(wanted_begins[mine, None], begins[others])
            shared_s = np.minimum(wanted_ends[mine, None], ends[others]) - from_s
            shorter_s = np.minimum((wanted_ends - wanted_begins)[mine, None], (ends - begins)[others])
            same = (shared_s > 0) & (shared_s >= SAME_SPEECH * shorter_s)
            has_partner = same.any(axis=1)
            hit = mine[has_partner]
            partners[hit] = np.where(partners[hit] >= 0, partners[hit], others[same.argmax(axis=1)[has_partner]])
            trained[others[same.any(axis=0)]] = True
            touching[mine] |= (shared_s > _MARGIN_S).any(axis=1)
    return touching


def _times(utterances: Utterances) -> tuple[np.ndarray, np.ndarray]:
    """Begin and end of each in its file, in seconds."""
    begins = utterances.column("start_s")
    return begins, begins + utterances.durations_s()


def _places_by_code(codes: np.ndarray, wanted: np.ndarray) -> list[np.ndarray]:
    """The places of each of the wanted codes, in their order."""
    order = np.argsort(codes, kind="stable")
    begins, ends = (np.searchsorted(codes[order], wanted, side=side) for side in ("left", "right"))
    return [order[begin:end] for begin, end in zip(begins, ends, strict=True)]
