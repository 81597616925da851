"""Which utterances are held out for validation: the last ones, a share, a count, or whole groups.

Each function returns a mask of the held-out ones, shape (utterances,).
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from accel_asr.data.reading.source_table import first_few
from accel_asr.errors import UserError


def split_first(available: int, *, train_rows: int) -> np.ndarray:
    """Train on the first `train_rows` utterances and hold out the rest.

    Raises:
        UserError: nothing would be left to validate on.
    """
    if train_rows >= available:
        raise UserError(
            f"leaves nothing to validate on, only {available} utterances remain after the filters",
            setting="--data.train_rows",
            value=train_rows,
            remedy="give a smaller number, or data.eval_fraction instead",
        )
    return np.arange(available) >= train_rows


def count_to_hold_out(available: int, *, eval_fraction: float | None, eval_rows: int | None) -> int:
    """How many of the available utterances to hold out, by whichever of the two settings is given.

    Raises:
        UserError: none, or all.
    """
    if eval_rows is not None:
        if eval_rows >= available:
            raise UserError(
                f"leaves nothing to train on, only {available} utterances remain after the filters",
                setting="--data.eval_rows",
                value=eval_rows,
                remedy="give a smaller number",
            )
        return eval_rows
    assert eval_fraction is not None
    count = round(eval_fraction * available)
    if not 0 < count < available:
        raise UserError(
            f"of {available} utterances is {count}, and training and validation need at least one each",
            setting="--data.eval_fraction",
            value=eval_fraction,
            remedy="give another share, or more data",
        )
    return count


def split_random(available: int, *, count: int, seed: int) -> np.ndarray:
    """Hold out `count` utterances, chosen by `seed`."""
    is_held_out = np.zeros(available, dtype=bool)
    is_held_out[random.Random(seed).sample(range(available), count)] = True
    return is_held_out


def split_groups(
    groups: Sequence[str | None], ids: Callable[[], Sequence[str]], *, count: int, seed: int, column: str
) -> tuple[np.ndarray, str]:
    """Hold out whole groups of about `count` utterances in total, chosen by `seed`.

    Goes through the groups in a shuffled order and takes each one that brings the total nearer to `count`; if none
    does, takes the smallest.

    Args:
        groups: The group of each utterance.
        ids: Returns the utterance ids, for a message.

    Returns:
        The mask, and a notice of what was held out.

    Raises:
        UserError: an utterance without a group, or fewer than two groups.
    """
    if None in groups:
        without = [name for name, group in zip(ids(), groups, strict=True) if group is None]
        raise UserError(
            f"{len(without):,} of {len(groups):,} utterances have no value in this column ({first_few(without)}), so "
            "they can't be kept on one side",
            setting="--data.group_column",
            value=column,
            remedy="fill it in, or leave out data.group_column",
        )
    sizes = Counter(group for group in groups if group is not None)
    if len(sizes) < 2:
        raise UserError(
            f"all {len(groups):,} utterances have the same value ({first_few(list(sizes))}), and at least two are "
            "needed: one to train on and one to hold out",
            setting="--data.group_column",
            value=column,
            remedy="leave out data.group_column",
        )
    order = sorted(sizes)
    random.Random(seed).shuffle(order)
    chosen: set[str] = set()
    total = 0
    for group in order:
        if abs(total + sizes[group] - count) < abs(total - count) and len(chosen) < len(order) - 1:
            chosen.add(group)
            total += sizes[group]
    if not chosen:
        chosen = {min(order, key=lambda group: sizes[group])}
    mask = np.array([group in chosen for group in groups])
    notice = (
        f"held out {len(chosen):,} of {len(sizes):,} values of {column} ({first_few(sorted(chosen))}): "
        f"{int(mask.sum()):,} utterances, where {count:,} were asked for"
    )
    return mask, notice
