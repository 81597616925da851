"""Short utterances that share a window: which do, that each comes once, and what is heard and learnt then."""

import itertools
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import WhisperTokenizer

from accel_asr.config.settings import Config, DataConfig, ModelConfig
from accel_asr.config.training_settings import TrainingConfig
from accel_asr.data.labels import LabelEncoder
from accel_asr.data.loading.batches import TrainingWindows
from accel_asr.data.loading.clip_items import ClipItems
from accel_asr.data.loading.collator import Collator
from accel_asr.data.loading.items import FailedItem, Item
from accel_asr.data.order.epoch_order import PackKey
from accel_asr.data.order.packing import ALONE, GAP_S, OPEN_WINDOWS, Packing, PackPlan
from accel_asr.data.reading.rows import Row
from accel_asr.errors import UserError
from accel_asr.model.written_tokens import TimedWords
from accel_asr.run.job import load_job
from accel_asr.run.training_plan import plan_windows
from tests.tiny_datasets import tone_clip, wav_bytes
from tests.unit.data.local_sources import RATE_HZ, utterances_of, write_rows

GEOMETRIES = [(1, 1, 12), (1, 3, 4), (2, 3, 2), (2, 1, 6), (3, 2, 2), (3, 4, 1)]  # all with a global batch of 12


def random_packing(seed: int, *, rows: int = 200, groups: int = 3) -> Packing:
    """Of clips of 0.01 to all of a window, with texts from short ones to some that fill a label by themselves."""
    draws = np.random.default_rng(seed)
    window_samples = int(draws.integers(20, 1_000))
    most_tokens = int(draws.integers(5, 100))
    samples = 1 + (window_samples * draws.beta(*draws.uniform(0.5, 3, 2), size=rows)).astype(np.int64)
    return Packing(
        samples=samples,
        tokens=draws.integers(1, most_tokens // int(draws.integers(1, 4)) + 1, size=rows),
        groups=draws.integers(ALONE, groups, size=rows),
        window_samples=window_samples,
        gap_samples=int(draws.integers(0, 20)),
        most_tokens=most_tokens,
    )


def plan_of(packing: Packing, geometry: tuple[int, int, int] = (1, 1, 12), **settings: object) -> PackPlan:
    processes, accumulation, micro = geometry
    given = {"drop_last": False, "seed": 5} | settings
    return PackPlan(
        num_rows=len(packing.samples),
        micro_batch_size=micro,
        accumulation_steps=accumulation,
        num_processes=processes,
        packing=packing,
        **given,  # type: ignore[arg-type]
    )


def packs_of_step(plan: PackPlan, step: int) -> list[PackKey]:
    return [key for rank in range(plan.num_processes) for micro in plan.micro_batches(step, rank) for key in micro]


def rows_of_epoch(plan: PackPlan, epoch: int) -> list[int]:
    first = plan.last_step(epoch) + 1
    keys = [key for step in range(first, plan.last_step(epoch + 1) + 1) for key in packs_of_step(plan, step)]
    assert {found for found, _ in keys} == {epoch}
    return [row for _, rows in keys for row in rows]


# -- which share a window


@pytest.mark.parametrize("seed", range(60))
def test_packs_hold_each_row_once_within_all_limits(seed: int) -> None:
    packing = random_packing(seed)
    order = np.random.default_rng(seed).permutation(len(packing.samples))
    packs = packing.packs(order)
    assert sorted(itertools.chain(*packs)) == list(range(len(order)))
    for pack in packs:
        if len(pack) > 1:
            gaps = packing.gap_samples * (len(pack) - 1)
            assert sum(int(packing.samples[row]) for row in pack) + gaps <= packing.window_samples
            assert sum(int(packing.tokens[row]) for row in pack) <= packing.most_tokens
            assert len({int(packing.groups[row]) for row in pack}) == 1
            assert packing.groups[pack[0]] != ALONE
    assert any(len(pack) > 1 for pack in packs)


def test_windows_of_short_clips_are_nearly_full() -> None:
    draws = np.random.default_rng(0)
    for low_s, high_s, least in ((2.0, 15.0, 0.94), (1.0, 5.0, 0.91)):
        samples = (draws.uniform(low_s, high_s, size=5_000) * RATE_HZ).astype(np.int64)
        packing = Packing(
            samples, np.ones_like(samples), np.zeros_like(samples), 30 * RATE_HZ, int(GAP_S * RATE_HZ), 440
        )
        packs = packing.packs(np.arange(len(samples)))
        assert least < packing.fill_share(packs) < 1
        assert packing.fill_share(packs) == pytest.approx(samples.sum() / (len(packs) * 30 * RATE_HZ))


def test_a_row_goes_where_it_fits_best_and_the_fullest_window_makes_room() -> None:
    samples = np.array([4, 7, 3, *[9] * (OPEN_WINDOWS - 1)])
    packing = Packing(samples, np.ones_like(samples), np.zeros_like(samples), 10, 0, 100)
    packs = packing.packs(np.arange(len(samples)))
    assert packs[0] == [1, 2]  # 3 fits beside 4 too, which came first; then they are the fullest, and closed
    assert packs[1] == [0]


# -- the order of training


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_every_utterance_comes_once_an_epoch_and_windows_are_the_same_however_dealt_out(
    seed: int, geometry: tuple[int, int, int]
) -> None:
    packing = random_packing(seed)
    plan, alone = plan_of(packing, geometry), plan_of(packing)
    for epoch in range(3):
        assert sorted(rows_of_epoch(plan, epoch)) == list(range(plan.num_rows))
    last_step = plan.last_step(3)
    for step in range(1, last_step + 1):
        assert sorted(packs_of_step(plan, step)) == sorted(packs_of_step(alone, step))
        assert sorted(plan.window(step)) == sorted(row for _, rows in packs_of_step(plan, step) for row in rows)
        assert [len(plan.micro_batches(step, rank)) for rank in range(geometry[0])] == [geometry[1]] * geometry[0]
        assert max(len(micro) for rank in range(geometry[0]) for micro in plan.micro_batches(step, rank)) <= geometry[2]
    assert [plan.ends_epoch(step) for step in range(1, last_step + 1)].count(True) == 3
    assert plan.epochs_at(last_step) == 3
    assert [sorted(key) for key in [packs_of_step(plan.in_one_piece(), last_step)]] == [
        sorted(packs_of_step(plan, last_step))
    ]


def test_a_step_depends_on_no_step_before_it() -> None:
    packing = random_packing(1)
    plan = plan_of(packing)
    packs = [packs_of_step(plan, step) for step in range(1, plan.last_step(4) + 1)]
    for step in (len(packs), 1, len(packs) // 2, len(packs) // 2 + 1):
        assert packs_of_step(plan_of(packing), step) == packs[step - 1]  # as a resumed run asks
        assert packs_of_step(plan, step) == packs[step - 1]
    assert packs_of_step(plan_of(packing, seed=6), 1) != packs[0]


def test_each_epoch_puts_others_together() -> None:
    samples = np.random.default_rng(0).integers(1, 30, size=200)
    plan = plan_of(Packing(samples, np.ones_like(samples), np.zeros_like(samples), 100, 1, 100))
    epochs = []
    for epoch in range(2):
        steps = range(plan.last_step(epoch) + 1, plan.last_step(epoch + 1) + 1)
        epochs.append({frozenset(rows) for step in steps for _, rows in packs_of_step(plan, step) if len(rows) > 1})
    assert len(epochs[0]) > 20
    assert not epochs[0] & epochs[1]


def test_a_dropped_last_window_is_a_short_one_and_another_each_epoch() -> None:
    plan = plan_of(random_packing(2), drop_last=True)
    left_out = []
    for epoch in range(3):
        rows = rows_of_epoch(plan, epoch)
        assert len(rows) == len(set(rows))
        left_out.append(frozenset(range(plan.num_rows)) - set(rows))
        for step in range(plan.last_step(epoch) + 1, plan.last_step(epoch + 1) + 1):
            assert len(packs_of_step(plan, step)) == plan.window_size
    assert all(left_out)
    assert len(set(left_out)) == 3


def test_an_epoch_of_a_pack_fewer_than_the_first_is_not_empty() -> None:
    packing = random_packing(3)
    counts = [len(packing.packs(plan_of(packing).shuffled_rows(epoch))) for epoch in range(20)]
    assert min(counts) < counts[0]  # or this says nothing
    plan = plan_of(packing, (1, 1, counts[0]), drop_last=True)
    assert plan.steps_per_epoch == 1
    assert [plan.steps_in(epoch) for epoch in range(20)] == [1] * 20
    assert plan.epoch_of(20) == 19
    with pytest.raises(UserError) as caught:
        plan_of(packing, (1, 1, counts[0] + 1), drop_last=True)
    assert f"the global batch of {counts[0] + 1} packed windows" in str(caught.value)
    assert f"is larger than the {counts[0]} windows that the 200 training utterances are packed into" in str(
        caught.value
    )


def test_the_shares_of_a_mixture_are_packed_with_what_comes_twice() -> None:
    packing = random_packing(4)
    plan = plan_of(packing, part_sizes=(50, 150), weights=(3.0, 1.0))
    counts = Counter(row < 50 for row in rows_of_epoch(plan, 0))
    assert counts == {True: 150, False: 50}


def test_whatever_packs_depend_on_changes_the_checksum_of_the_order() -> None:
    packing = random_packing(5)
    others = [
        replace(packing, window_samples=packing.window_samples + 1),
        replace(packing, gap_samples=packing.gap_samples + 1),
        replace(packing, most_tokens=packing.most_tokens + 1),
        replace(packing, samples=packing.samples + 1),
        replace(packing, tokens=packing.tokens + 1),
        replace(packing, groups=packing.groups + 1),
    ]
    assert len({plan_of(one).order_checksum for one in [packing, *others]}) == 7
    assert plan_of(packing, GEOMETRIES[2]).order_checksum == plan_of(random_packing(5)).order_checksum


# -- utterances


def spoken(name: str, words: str, **more: str) -> Row:
    return Row(name, wav_bytes(tone_clip(words.split())), words, **more)


def packing_of(utterances, encoder: LabelEncoder, **more: bool) -> Packing:
    return Packing.of_utterances(utterances, encoder=encoder, sampling_rate_hz=RATE_HZ, window_s=2.0, **more)


def test_equal_language_and_task_share_packs_and_prompts_stay_alone(encoder: LabelEncoder, tmp_path: Path) -> None:
    rows = [
        spoken("unsaid", "pay"),
        spoken("said", "pay", language="English", task="transcribe"),  # what the run says by itself
        spoken("german", "pay", language="de"),
        spoken("translated", "pay", language="de", task="translate"),
        spoken("german again", "pay", language="de-DE"),
        spoken("prompted", "pay", prompt="what"),
        spoken("blank prompt", "pay", prompt=" "),
    ]
    groups = packing_of(utterances_of(rows, tmp_path), encoder).groups.tolist()
    unsaid, said, german, translated, again, prompted, blank = groups
    assert (said, again, blank, prompted) == (unsaid, german, unsaid, ALONE)
    assert len({unsaid, german, translated, ALONE}) == 4


SILENCE = wav_bytes(np.zeros(1600), sampling_rate_hz=RATE_HZ)
TEXTS = [
    "my card was declined",
    "Hello, thank you!",
    "it's 12 o'clock: 3.50",
    "สวัสดีครับ ผมชื่อ",
    "今日はいい天気ですね。",
    "你好吗",
    "नमस्ते",
    "😀 ok",
    "-",
    "'s odd",
    "a  b\n c",
    "<|endoftext|>",
]


def test_a_joined_label_is_never_longer_than_its_texts_were_counted(encoder: LabelEncoder, tmp_path: Path) -> None:
    utterances = utterances_of([Row(f"u{row}", SILENCE, text) for row, text in enumerate(TEXTS)], tmp_path)
    plain, timed = packing_of(utterances, encoder), packing_of(utterances, encoder, timestamps=True)
    around = len(encoder.prefix()) + 1
    assert plain.most_tokens == encoder.max_label_tokens - around
    pairs = list(itertools.permutations(range(len(TEXTS)), 2))
    exact = 0
    for rows in [*pairs, *([*pair, 0] for pair in pairs)]:
        texts = [TEXTS[row] for row in rows]
        counted = around + int(plain.tokens[list(rows)].sum())
        whole = len(encoder.encode(" ".join(texts)).token_ids)
        assert whole <= counted
        exact += whole == counted
        parts = [TimedWords(" " * (number > 0) + text, number, number + 0.3) for number, text in enumerate(texts)]
        assert len(encoder.timed_pack(parts).token_ids) <= around + int(timed.tokens[list(rows)].sum())
    assert exact > len(pairs) / 10  # or windows would be left emptier than they need be


# -- what is heard and learnt


def test_the_audio_of_a_pack_is_its_clips_with_a_pause_between(clip_items: ClipItems) -> None:
    rows = (3, 1)
    [item] = clip_items.of([(0, rows)])
    assert isinstance(item, Item)
    pause = np.zeros(round(GAP_S * RATE_HZ), dtype=np.int16)
    first, second = (clip_items.utterances[row] for row in rows)
    expected = np.concatenate([first.samples(), pause, second.samples()])
    assert np.array_equal(item.clip, expected)
    assert [clip.utterance_id for clip in item.spans] == ["clip-3", "clip-1"]
    assert item.duration_s == pytest.approx(first.duration_s + second.duration_s)


def test_the_label_of_a_pack_is_that_of_the_joined_texts(clip_items: ClipItems, collator: Collator) -> None:
    batch = collator(clip_items.of([(0, (3, 1)), (0, (5,)), (0, 6)]))
    texts = [utterance.text for utterance in clip_items.utterances]
    tokenizer = clip_items.encoder.tokenizer
    for labels, expected in zip(batch.labels, (f"{texts[3]} {texts[1]}", texts[5], texts[6]), strict=True):
        ids = labels[labels >= 0]
        assert tokenizer.decode(ids, skip_special_tokens=True) == expected
        assert ids.tolist() == list(clip_items.encoder.encode(expected).token_ids[1:])
    assert batch.utterance_ids == ["clip-3", "clip-1", "clip-5", "clip-6"]
    assert batch.audio_s == pytest.approx(sum(clip_items.utterances[row].duration_s for row in (3, 1, 5, 6)))


def test_a_row_of_another_language_is_told_so_in_its_pack(encoder: LabelEncoder, model_and_processor, tmp_path) -> None:
    rows = [spoken(name, "pay", language="de", task="translate") for name in "ab"]
    items = ClipItems(
        utterances_of(rows, tmp_path), feature_extractor=model_and_processor[1].feature_extractor, encoder=encoder
    )
    [item] = items.of([(0, (0, 1))])
    assert item.token_ids == encoder.encode("pay pay", language="de", task="translate").token_ids  # type: ignore[union-attr]


def test_times_in_a_pack_are_those_of_its_window(clip_items: ClipItems) -> None:
    items = ClipItems(
        clip_items.utterances,
        feature_extractor=clip_items.feature_extractor,
        encoder=clip_items.encoder,
        timestamps_probability=1.0,
    )
    [item] = items.of([(0, (3, 1))])
    first, second = (clip_items.utterances[row] for row in (3, 1))
    tokenizer: WhisperTokenizer = clip_items.encoder.tokenizer
    lengths_s = [len(utterance.samples()) / RATE_HZ for utterance in (first, second)]
    ends_s = [lengths_s[0], lengths_s[0] + GAP_S + lengths_s[1]]
    begin, middle, later, end = (np.floor(50 * s + 1e-6) / 50 for s in (0, ends_s[0], ends_s[0] + GAP_S, ends_s[1]))
    assert tokenizer.decode(item.token_ids, decode_with_timestamps=True) == (  # type: ignore[union-attr]
        f"<|startoftranscript|><|en|><|transcribe|><|{begin:.2f}|>{first.text}<|{middle:.2f}|>"
        f"<|{later:.2f}|> {second.text}<|{end:.2f}|><|endoftext|>"
    )


def test_a_clip_that_can_not_be_read_is_not_in_its_pack_and_is_named(
    clip_files: ClipItems, collator: Collator, tmp_path: Path
) -> None:
    keys: list[PackKey] = [(0, (1, 2, 4)), (0, (3, 0))]
    expected = collator(clip_files.of([(0, (1, 4))]))
    for name in ("clip-2.wav", "clip-3.wav", "clip-0.wav"):
        (tmp_path / name).unlink()
    batch = collator(clip_files.of(keys))
    assert [item.utterance_id for item in batch.failed] == ["clip-2.wav", "clip-3.wav", "clip-0.wav"]
    assert all("can't be reached" in item.reason for item in batch.failed)
    assert batch.utterance_ids == ["clip-1.wav", "clip-4.wav"]
    assert torch.equal(batch.input_features, expected.input_features)
    assert torch.equal(batch.labels, expected.labels)
    assert collator(clip_files.of(keys[1:])).utterance_ids == []


def test_a_clip_that_is_longer_than_it_was_said_to_be_is_not_cut_into_a_pack(clip_items: ClipItems) -> None:
    too_many = tuple(range(7))  # 5.3 s
    *kept, last = clip_items.of([(0, too_many)])
    assert isinstance(last, FailedItem)
    assert "do not fit" in last.reason
    (item,) = [one for one in kept if isinstance(one, Item)]
    fitting = tuple(int(clip.utterance_id.removeprefix("clip-")) for clip in item.spans)
    assert len(fitting) + sum(isinstance(one, FailedItem) for one in [*kept, last]) == 7
    [again] = clip_items.of([(0, fitting)])
    assert np.array_equal(item.clip, again.clip)  # type: ignore[union-attr]


# -- a run


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    words = ["pay", "my card", "the money to my account", "send", "balance please", "what", "transfer the money"]
    rows = [spoken(f"u{row}", words[row % 7]) for row in range(40)]
    return write_rows(rows, tmp_path / "clips.parquet")


def load_packed(manifest: Path, tiny_folder: Path, **settings: float):
    data = DataConfig(str(manifest), eval_rows=4, overlap="allow", **settings)  # type: ignore[arg-type]
    model = ModelConfig(name_or_path=str(tiny_folder), language="en")
    return load_job(Config(model=model, data=data, training=TrainingConfig(pack=True, seed=3)))


def test_a_run_says_how_full_its_windows_are_and_counts_them(manifest: Path, tiny_folder: Path) -> None:
    job = load_packed(manifest, tiny_folder)
    training = TrainingConfig(pack=True, seed=3, per_device_train_batch_size=4, num_train_epochs=2)
    plan, last_step = plan_windows(training, job.data, num_processes=1)
    assert isinstance(plan, PackPlan)
    windows = len(plan.packing.packs(plan.shuffled_rows(0)))
    assert 36 / 5 < windows < 36 / 2
    assert plan.steps_in(0) == windows // 4
    assert last_step == plan.steps_in(0) + plan.steps_in(1)
    packed = job.data.summary["packed"]
    assert packed["windows_of_first_epoch"] == windows
    assert packed["fill_share"] == pytest.approx(job.data.train.durations_s().sum() / (2 * windows), abs=1e-3)
    assert (
        f"packed 36 utterances into {windows} windows of 2 s, {packed['fill_share']:.0%} full" in job.data.notices[-1]
    )
    assert job.data.summary["notices"] == job.data.notices
    steps = {"first_step": 1, "last_step": last_step}
    for [batch] in TrainingWindows(job.train_items, plan, collator=job.collator, rank=0, **steps):
        assert batch.failed == []
        assert batch.input_features.shape[0] == 4 < len(batch.utterance_ids)


def test_times_make_labels_longer_and_packs_smaller(manifest: Path, tiny_folder: Path) -> None:
    plain, timed = (
        load_packed(manifest, tiny_folder, timestamps_probability=share).data.packing for share in (0.0, 0.1)
    )
    assert (timed.tokens == plain.tokens + 2).all()  # type: ignore[union-attr]
    assert timed.checksum != plain.checksum  # type: ignore[union-attr]


def test_worker_processes_give_the_same_packs(clip_items: ClipItems, collator: Collator) -> None:
    packing = packing_of(clip_items.utterances, clip_items.encoder)
    plan = plan_of(packing, (1, 2, 1))
    steps = {"rank": 0, "first_step": 1, "last_step": plan.last_step(2)}
    alone, others = (
        list(TrainingWindows(clip_items, plan, collator=collator, num_workers=workers, **steps)) for workers in (0, 2)
    )
    for one, other in zip(itertools.chain(*alone), itertools.chain(*others), strict=True):
        assert one.utterance_ids == other.utterance_ids
        assert torch.equal(one.input_features, other.input_features)
        assert torch.equal(one.labels, other.labels)
    assert any(len(batch.utterance_ids) > 1 for batch in itertools.chain(*alone))
