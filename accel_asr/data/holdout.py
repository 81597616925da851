"""Which utterances are held out for validation: the last ones, a share, a count, or whole groups."""

import random
from collections import Counter

from accel_asr.data.audio_paths import named
from accel_asr.data.preparation import Utterance
from accel_asr.errors import UserError

Parts = tuple[list[Utterance], list[Utterance]]  # training, validation; both in the source's order


def split_first(utterances: list[Utterance], *, train_rows: int) -> Parts:
    """The first `train_rows` utterances to train on, the rest to validate on.

    Raises:
        UserError: nothing would be left to validate on.
    """
    if train_rows >= len(utterances):
        raise UserError(
            f"data.train_rows: {train_rows} leaves nothing to validate on, only {len(utterances)} utterances remain "
            "after the filters; give a smaller number, or data.eval_fraction instead"
        )
    return utterances[:train_rows], utterances[train_rows:]


def count_to_hold_out(available: int, *, eval_fraction: float | None, eval_rows: int | None) -> int:
    """How many of the available utterances the one setting that is given asks for.

    Raises:
        UserError: none, or all.
    """
    if eval_rows is not None:
        if eval_rows >= available:
            raise UserError(
                f"data.eval_rows: {eval_rows} leaves nothing to train on, only {available} utterances remain after the "
                "filters; give a smaller number"
            )
        return eval_rows
    assert eval_fraction is not None
    count = round(eval_fraction * available)
    if not 0 < count < available:
        raise UserError(
            f"data.eval_fraction: {eval_fraction} of {available} utterances is {count}; "
            "both the training and the validation part need at least one"
        )
    return count


def split_random(utterances: list[Utterance], *, count: int, seed: int) -> Parts:
    """Hold out `count` utterances, chosen by `seed`."""
    held_out = set(random.Random(seed).sample(range(len(utterances)), count))
    train = [utterance for index, utterance in enumerate(utterances) if index not in held_out]
    return train, [utterance for index, utterance in enumerate(utterances) if index in held_out]


def split_groups(utterances: list[Utterance], *, count: int, seed: int, column: str) -> tuple[Parts, str]:
    """Hold out whole groups, chosen by `seed`, of about `count` utterances together.

    Groups are gone through in a shuffled order, and each is taken that brings the sum nearer to `count`; if none does,
    the smallest is.

    Returns:
        The parts, and a notice of what was held out.

    Raises:
        UserError: an utterance without a group, or not two groups.
    """
    without = [utterance.utterance_id for utterance in utterances if utterance.group is None]
    if without:
        raise UserError(
            f"data.group_column: {len(without):,} of {len(utterances):,} utterances have nothing in {column!r} "
            f"({named(without)}), so they can't be kept on one side; fill it in, or leave out data.group_column"
        )
    sizes = Counter(utterance.group for utterance in utterances if utterance.group is not None)
    if len(sizes) < 2:
        raise UserError(
            f"data.group_column: all {len(utterances):,} utterances have the same {column!r} ({named(list(sizes))}); "
            "at least two are needed, one to train on and one to hold out; leave out data.group_column"
        )
    order = sorted(sizes)
    random.Random(seed).shuffle(order)
    chosen: list[str] = []
    held = 0
    for group in order:
        if abs(held + sizes[group] - count) < abs(held - count) and len(chosen) < len(order) - 1:
            chosen.append(group)
            held += sizes[group]
    if not chosen:
        chosen = [min(order, key=lambda group: sizes[group])]
    train = [utterance for utterance in utterances if utterance.group not in chosen]
    validation = [utterance for utterance in utterances if utterance.group in chosen]
    notice = (
        f"held out {len(chosen):,} of {len(sizes):,} values of {column} ({named(sorted(chosen))}): "
        f"{len(validation):,} utterances, where {count:,} were asked for"
    )
    return (train, validation), notice
