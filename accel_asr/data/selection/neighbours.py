"""Rows that follow one another in a recording, with nothing but a pause between them."""

from collections.abc import Sequence

import numpy as np

from accel_asr.data.selection.utterances import Part, Utterances

NONE = -1
# Segments of one speaker are cut with a little of their neighbours; two that share more are spoken at the same time
SHARED_S = 0.3


def spans_s(utterances: Utterances) -> tuple[np.ndarray, np.ndarray]:
    """Where each utterance begins and ends in its recording, in seconds, two arrays of shape (utterances,)."""
    start_s = np.nan_to_num(utterances.numbers(lambda part: part.index.numbers("start_s")), nan=0.0)
    end_s = utterances.numbers(lambda part: part.index.numbers("end_s"))
    return start_s, np.where(np.isnan(end_s), start_s + utterances.durations_s(), end_s)


def next_rows(
    utterances: Utterances, others: Sequence[Part], *, groups: np.ndarray, longest_pause_s: float
) -> np.ndarray:
    """The row that follows each one in its recording, or NONE: int64, shape (utterances,).

    No row of any part lies between two neighbours, nor overlaps either of them: a row that was dropped or is validated
    on is speech too.

    Args:
        others: Further parts whose rows are speech, such as those of the validation set.
        groups: Only utterances of the same group are neighbours, shape (utterances,).
        longest_pause_s: The most that may lie between the end of one and the start of the next.
    """
    number_of: dict[str, np.ndarray] = {}  # by index: the utterance of each of its rows
    for number, part in enumerate(utterances.parts):
        mine = np.flatnonzero(utterances.part_of == number)
        numbers = number_of.setdefault(str(part.index.folder), np.full(len(part.index), NONE))
        numbers[utterances.row_of[mine]] = mine
    indexes = {str(part.index.folder): part.index for part in (*utterances.parts, *others)}
    columns: list[list[np.ndarray]] = []
    for folder, index in indexes.items():
        content = index.column("content").fill_null(0).to_numpy().astype(np.uint64)
        start_s, end_s = index.numbers("start_s"), index.numbers("end_s")
        rows = np.flatnonzero(content > 0)
        begins_s = np.nan_to_num(start_s, nan=0.0)
        ends_s = np.where(np.isnan(end_s), begins_s + index.durations_s, end_s)
        own = number_of.get(folder, np.full(len(index), NONE))
        columns.append([content[rows], begins_s[rows], ends_s[rows], own[rows]])
    content, start_s, end_s, own = (np.concatenate(column) for column in zip(*columns, strict=True))
    order = np.lexsort((end_s, start_s, content))
    content, start_s, end_s, own = (column[order] for column in (content, start_s, end_s, own))
    spoken_to_s = _latest_end_so_far(content, end_s)
    pause_s = start_s[1:] - spoken_to_s[:-1]
    are_neighbours = (content[1:] == content[:-1]) & (own[1:] != NONE) & (own[:-1] != NONE)
    are_neighbours &= (pause_s <= longest_pause_s) & (pause_s >= -SHARED_S)
    are_neighbours &= end_s[:-1] == spoken_to_s[:-1]  # else an earlier row is still spoken
    are_neighbours &= groups[own[1:]] == groups[own[:-1]]
    following = np.full(len(utterances), NONE)
    following[own[:-1][are_neighbours]] = own[1:][are_neighbours]
    return following


def _latest_end_so_far(content: np.ndarray, end_s: np.ndarray) -> np.ndarray:
    """The largest end of a row and all before it of the same recording, shape (rows,); rows are in order."""
    latest = np.where(np.isnan(end_s), np.inf, end_s)  # of a row that can't be read, nothing is known
    firsts = np.flatnonzero(np.r_[len(content) > 0, content[1:] != content[:-1]]).tolist()
    for first, stop in zip(firsts, [*firsts[1:], len(content)], strict=True):
        np.maximum.accumulate(latest[first:stop], out=latest[first:stop])
    return latest
