"""Which utterances are held out for validation: the last ones, a share, a count, or whole groups.

Each function returns a mask of those that are, shape (utterances,).
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from accel_asr.data.reading.audio_paths import named
from accel_asr.errors import UserError


def split_first(available: int, *, train_rows: int) -> np.ndarray:
    """The first `train_rows` of the utterances are trained on, the rest held out.

    Raises:
        UserError: nothing would be left to validate on.
    """
    if train_rows >= available:
        raise UserError(
            f"data.train_rows: {train_rows} leaves nothing to validate on, only {available} utterances remain "
            "after the filters; give a smaller number, or data.eval_fraction instead"
        )
    return np.arange(available) >= train_rows


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


def split_random(available: int, *, count: int, seed: int) -> np.ndarray:
    """Hold out `count` utterances, chosen by `seed`."""
    held = np.zeros(available, dtype=bool)
    held[random.Random(seed).sample(range(available), count)] = True
    return held


def split_groups(
    groups: Sequence[str | None], ids: Callable[[], Sequence[str]], *, count: int, seed: int, column: str
) -> tuple[np.ndarray, str]:
    """Hold out whole groups, chosen by `seed`, of about `count` utterances together.

    Groups are gone through in a shuffled order, and each is taken that brings the sum nearer to `count`; if none does,
    the smallest is.

    Args:
        groups: Of each utterance.
        ids: Called for the names of the utterances, for a message.

    Returns:
        The mask, and a notice of what was held out.

    Raises:
        UserError: an utterance without a group, or not two groups.
    """
    if None in groups:
        without = [name for name, group in zip(ids(), groups, strict=True) if group is None]
        raise UserError(
            f"data.group_column: {len(without):,} of {len(groups):,} utterances have nothing in {column!r} "
            f"({named(without)}), so they can't be kept on one side; fill it in, or leave out data.group_column"
        )
    sizes = Counter(group for group in groups if group is not None)
    if len(sizes) < 2:
        raise UserError(
            f"data.group_column: all {len(groups):,} utterances have the same {column!r} ({named(list(sizes))}); "
            "at least two are needed, one to train on and one to hold out; leave out data.group_column"
        )
    order = sorted(sizes)
    random.Random(seed).shuffle(order)
    chosen: set[str] = set()
    held = 0
    for group in order:
        if abs(held + sizes[group] - count) < abs(held - count) and len(chosen) < len(order) - 1:
            chosen.add(group)
            held += sizes[group]
    if not chosen:
        chosen = {min(order, key=lambda group: sizes[group])}
    mask = np.array([group in chosen for group in groups])
    notice = (
        f"held out {len(chosen):,} of {len(sizes):,} values of {column} ({named(sorted(chosen))}): "
        f"{int(mask.sum()):,} utterances, where {count:,} were asked for"
    )
    return mask, notice
