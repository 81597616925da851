"""Windows of one recording: which utterances are neighbours, how they share windows, and what is heard of them."""

import itertools
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from accel_asr.data.labels import LabelEncoder
from accel_asr.data.order.packing import PackPlan, label_groups, packs_of_epoch
from accel_asr.data.order.stitching import Stitching, Stretch
from accel_asr.data.reading.rows import Row
from accel_asr.data.selection.neighbours import NONE, next_rows, spans_s
from accel_asr.data.selection.utterances import Utterances
from tests.unit.data.local_sources import RATE_HZ, part_of, utterances_of

WINDOW_S = 30.0


def random_stitching(seed: int, *, recordings: int = 5, tokens: int = 60, most_tokens: int = 200) -> Stitching:
    """Of recordings with 1 to 60 utterances of 0.5 to 20 s, with pauses of up to 2 s, in no order."""
    draws = np.random.default_rng(seed)
    following, starts_s, ends_s = list[int](), list[float](), list[float]()
    for _ in range(recordings):
        now_s, count = float(draws.uniform(0, 5)), int(draws.integers(1, 60))
        for number in range(count):
            following.append(len(following) + 1 if number + 1 < count else NONE)
            starts_s.append(now_s)
            ends_s.append(now_s + float(draws.uniform(0.5, 20)))
            now_s = ends_s[-1] + float(draws.uniform(0, 2))
    order = draws.permutation(len(following))  # the place of each in the table
    next_row = np.full(len(following), NONE)
    next_row[order] = [order[row] if row != NONE else NONE for row in following]
    start_s, end_s = np.empty(len(following)), np.empty(len(following))
    start_s[order], end_s[order] = starts_s, ends_s
    return Stitching(next_row, start_s, end_s, draws.integers(1, tokens, len(following)), WINDOW_S, most_tokens)


def plan_of(stitching: Stitching, geometry: tuple[int, int, int] = (1, 1, 6), **settings: object) -> PackPlan:
    processes, accumulation, micro = geometry
    given = {"drop_last": False, "seed": 5} | settings
    return PackPlan(
        num_rows=len(stitching.next_row),
        micro_batch_size=micro,
        accumulation_steps=accumulation,
        num_processes=processes,
        packing=stitching,
        **given,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("seed", range(40))
def test_windows_hold_each_row_once_within_all_limits_and_in_the_recordings_order(seed: int) -> None:
    stitching = random_stitching(seed)
    rows = np.random.default_rng(seed).permutation(len(stitching.next_row))
    windows = packs_of_epoch(stitching, rows, seed=seed, epoch=seed)
    assert sorted(itertools.chain(*windows)) == list(range(len(rows)))
    for window in windows:
        assert [int(row) for row in stitching.next_row[window[:-1]]] == window[1:]
        if len(window) > 1:
            assert stitching.end_s[window[-1]] - stitching.start_s[window[0]] <= WINDOW_S
            assert stitching.tokens[window].sum() <= stitching.most_tokens
    assert any(len(window) > 1 for window in windows)


def test_most_windows_take_all_that_fits() -> None:
    stitching = random_stitching(0, recordings=40, tokens=2)
    windows = packs_of_epoch(stitching, np.arange(len(stitching.next_row)), seed=1, epoch=0)
    others = [window for window in windows if stitching.next_row[window[-1]] != NONE]
    more_would_fit = [
        stitching.end_s[stitching.next_row[window[-1]]] - stitching.start_s[window[0]] <= WINDOW_S for window in others
    ]
    assert 0.02 < np.mean(more_would_fit) < 0.3


def rows_of_windows(plan: PackPlan, epoch: int) -> set[tuple[int, ...]]:
    steps = range(plan.last_step(epoch) + 1, plan.last_step(epoch + 1) + 1)
    return {rows for step in steps for _, rows in plan.micro_batches(step, 0)[0]}


def test_epochs_cut_at_other_places_and_each_is_a_pure_function() -> None:
    stitching = random_stitching(3)
    stitching = replace(stitching, start_s=stitching.start_s / 4, end_s=stitching.end_s / 4)  # rows of up to 5 s
    epochs = [rows_of_windows(plan_of(stitching), epoch) for epoch in range(3)]
    assert all(sorted(itertools.chain(*epoch)) == list(range(len(stitching.next_row))) for epoch in epochs)
    assert len(epochs[0] & epochs[1]) < len(epochs[0]) / 2
    assert epochs[0] != rows_of_windows(plan_of(stitching, seed=6), 0)
    for geometry in ((1, 3, 2), (2, 3, 1), (3, 2, 1)):
        plan = plan_of(stitching, geometry)
        for step in (plan.last_step(3), 1, 5):  # as a resumed run asks, in no order
            keys = [key for rank in range(geometry[0]) for micro in plan.micro_batches(step, rank) for key in micro]
            assert sorted(keys) == sorted(plan_of(stitching).micro_batches(step, 0)[0])


def test_a_row_of_a_mixture_that_comes_twice_is_in_two_windows() -> None:
    stitching = random_stitching(4)
    rows = np.concatenate([np.arange(len(stitching.next_row)), np.arange(10)])
    windows = packs_of_epoch(stitching, rows, seed=0, epoch=0)
    counts = Counter(itertools.chain(*windows))
    assert counts == Counter(rows.tolist())
    assert all(len(set(window)) == len(window) for window in windows)


def test_rows_without_speech_have_windows_of_their_own() -> None:
    stitching = random_stitching(5).with_no_speech(np.array([3.0, 4.0]))
    count = len(stitching.next_row)
    windows = packs_of_epoch(stitching, np.arange(count), seed=0, epoch=0)
    assert [count - 2] in windows
    assert [count - 1] in windows


def test_whatever_windows_depend_on_changes_the_checksum() -> None:
    stitching = random_stitching(6)
    others = [
        replace(stitching, window_s=29.0),
        replace(stitching, most_tokens=199),
        replace(stitching, next_row=np.full_like(stitching.next_row, NONE)),
        replace(stitching, start_s=stitching.start_s + 1),
        replace(stitching, end_s=stitching.end_s + 1),
        replace(stitching, tokens=stitching.tokens + 1),
    ]
    assert len({plan_of(each).order_checksum for each in [stitching, *others]}) == 7


# -- what is heard

HEARD = Stitching(
    np.array([1, 2, 3, NONE]),
    np.array([0.0, 11.0, 25.0, 61.0]),
    np.array([10.0, 24.0, 58.0, 70.0]),
    np.ones(4, dtype=np.int64),
    WINDOW_S,
    100,
)


@pytest.mark.parametrize(
    ("rows", "is_cut", "stretch"),
    [
        ((0, 1), True, Stretch(0, 30, 25.0)),  # the third begins in the window, and ends after it
        ((0, 1), False, Stretch(0, 25)),  # without times nothing can say that it goes on: it is not heard
        ((0,), True, Stretch(0, 11)),  # the second would fit: it is not heard, but the pause before it is
        ((2,), True, Stretch(25, 58)),  # longer than a window, as its own length says
        ((1,), True, Stretch(11, 41, 25.0)),
        ((2, 3), True, Stretch(25, 70)),  # the last has nothing after it
    ],
)
def test_what_is_heard_ends_before_the_next_utterance_or_cuts_it(rows, is_cut: bool, stretch: Stretch) -> None:
    assert HEARD.stretch(rows, is_cut=is_cut) == stretch


# -- which are neighbours


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "talk.wav"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 60 * RATE_HZ), RATE_HZ)
    return path


def segment(path: Path, start_s: float, end_s: float, **more: str) -> Row:
    return Row(f"{path.name}[{start_s:.3f}-{end_s:.3f}]", path, "pay", start_s, end_s, **more)


def following(utterances: Utterances, encoder: LabelEncoder, *others) -> list[int]:
    groups = label_groups(utterances, encoder)
    return next_rows(utterances, others, groups=groups, longest_pause_s=3.0).tolist()


def test_rows_are_neighbours_across_a_pause_in_the_order_of_their_times(recording: Path, encoder, tmp_path) -> None:
    spans = [
        (9.0, 12.0),
        (0.0, 4.0),
        (4.5, 6.0),
        (16.0, 17.0),
        (16.8, 20.0),
    ]  # pauses of 0.5, 3 and 4 s, and a shared bit
    utterances = utterances_of([segment(recording, *span) for span in spans], tmp_path)
    assert following(utterances, encoder) == [NONE, 2, 0, 4, NONE]
    assert [times.tolist() for times in spans_s(utterances)] == [list(times) for times in zip(*spans, strict=True)]


def test_what_overlaps_another_row_has_no_neighbour_there(recording: Path, encoder, tmp_path) -> None:
    spans = [(0.0, 10.0), (5.0, 8.0), (10.5, 12.0), (13.0, 14.0)]
    utterances = utterances_of([segment(recording, *span) for span in spans], tmp_path)
    assert following(utterances, encoder) == [
        NONE,
        NONE,
        3,
        NONE,
    ]  # what is said from 5 to 8 s is said in the first too


def test_no_row_that_is_not_trained_on_lies_between_neighbours(recording: Path, encoder, tmp_path) -> None:
    rows = [segment(recording, start_s, start_s + 1) for start_s in (0.0, 1.5, 3.0, 4.5)]
    utterances = utterances_of(rows, tmp_path)
    assert following(utterances.select(np.array([0, 2, 3])), encoder) == [NONE, 2, NONE]  # held out, or dropped
    copied = tmp_path / "validation" / recording.name
    copied.parent.mkdir()
    shutil.copy(recording, copied)
    others = part_of([segment(copied, 2.6, 2.9)], copied.parent)
    assert following(utterances, encoder, others) == [1, NONE, 3, NONE]


def test_other_recordings_and_languages_are_no_neighbours(recording: Path, encoder, tmp_path) -> None:
    second = tmp_path / "other.wav"
    soundfile.write(second, np.random.default_rng(1).normal(0, 0.1, 9 * RATE_HZ), RATE_HZ)
    rows = [
        segment(recording, 0.0, 1.0),
        segment(second, 1.0, 2.0),
        segment(recording, 2.0, 3.0, language="de"),
        segment(recording, 3.5, 4.0, language="German", prompt="what was said before"),
        segment(recording, 5.0, 6.0, language="de", task="translate"),
    ]
    assert following(utterances_of(rows, tmp_path), encoder) == [NONE, NONE, 3, NONE, NONE]
