"""Training from a stream: rows as items or the reason why not, windows that know their place, settings."""

import itertools
import tarfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from accel_asr.audio.augmentation import Augmentation
from accel_asr.config.augmentation_settings import AugmentConfig
from accel_asr.config.command_line import parse_config
from accel_asr.config.settings import Config, DataConfig, ModelConfig, TextConfig
from accel_asr.config.training_settings import TrainingConfig
from accel_asr.data.indexing.recordings import Recording
from accel_asr.data.labels import LabelEncoder
from accel_asr.data.loading.collator import Batch, Collator
from accel_asr.data.loading.items import FailedItem, Item
from accel_asr.data.loading.row_seeds import row_seed
from accel_asr.data.order.stream_plan import StreamPlan
from accel_asr.data.reading.rows import Row
from accel_asr.data.reading.sources import SourceName
from accel_asr.data.run_data import RunData
from accel_asr.data.selection.overlap import VALIDATED_ON
from accel_asr.data.splits import load_train_and_validation
from accel_asr.data.streaming.shards import open_shards
from accel_asr.data.streaming.stream_items import MOST_LEFT_OUT_IN_A_ROW, StreamItems, StreamWindows
from accel_asr.data.streaming.streams import Place, Stream, StreamOrder, digest_of
from accel_asr.data.text_processing import CONTROL_TOKENS, CONTROL_TOKENS_BEFORE, TIMES, WRONG_TIMES, TextProcessing
from accel_asr.errors import UserError
from accel_asr.model.silence_merging import SilenceMerging
from accel_asr.run.job import Job, load_job
from accel_asr.run.training_plan import plan_training
from tests.refusals import refused
from tests.tiny_datasets import tone_clip, wav_bytes
from tests.unit.data.shard_server import write_tar

RATE_HZ = 16_000
CLIP = wav_bytes(tone_clip(["my", "card"]))  # 0.36 s


class ListedShards:
    """Shards that are lists of rows."""

    checksum = 17
    notices: list[str] = []  # noqa: RUF012
    files: tuple[Path, ...] = ()

    def __init__(self, *shards: list[Row]) -> None:
        self.shards = shards

    def __len__(self) -> int:
        return len(self.shards)

    def rows(self, shard: int, place: int = 0) -> Iterator[tuple[Row, int]]:
        for number, row in enumerate(self.shards[shard][place:], start=place):
            yield row, number + 1


STREAM = Stream(ListedShards([]), (), 4, TextProcessing(), max_duration_s=1.0)


@pytest.fixture
def items(model_and_processor, encoder: LabelEncoder):
    """`items(encoder settings)`: of a stream whose clips are shorter than one second."""

    def make(*, has_language: bool = True, most_tokens: int = 448, **stream: Any) -> StreamItems:
        short = LabelEncoder(encoder.tokenizer, max_label_tokens=most_tokens)
        extractor = model_and_processor[1].feature_extractor
        return StreamItems(extractor, short, replace(STREAM, **stream), has_language=has_language)

    return make


def row(text: str | None = "my card", audio: bytes | None = CLIP, **more: Any) -> Row:
    return Row("u1", audio, text, **more)


# -- items


def test_a_row_whose_recording_is_validated_on_is_left_out(items) -> None:
    made = items(validated=frozenset([str(digest_of(row()))]))
    left_out = made[row()]
    assert isinstance(left_out, FailedItem)
    assert (left_out.reason, left_out.is_filtered) == (VALIDATED_ON, True)
    assert isinstance(made[row(start_s=0.1)], Item)  # another part of it
    assert isinstance(made[row(audio=wav_bytes(tone_clip(["card"])))], Item)


def test_a_row_is_decoded_and_labelled_as_an_indexed_utterance_is(items) -> None:
    made = items()
    item = made[row(" My card ")]
    assert isinstance(item, Item)
    samples = Recording(CLIP, RATE_HZ).samples()
    np.testing.assert_array_equal(item.clip, samples)
    assert item.duration_s == len(samples) / RATE_HZ
    label = made.encoder.encode("My card")
    assert (item.utterance_id, item.token_ids, item.prompt_tokens) == ("u1", label.token_ids, 0)


def test_text_language_task_and_prompt_are_those_of_the_row(items) -> None:
    made = items(text=TextProcessing(lowercase=True, replacements={"&": "and"}))
    item = made[row("Me & You", language="German", task="translate", prompt="before")]
    label = made.encoder.encode("me and you", language="de", task="translate", prompt="before")
    assert (item.token_ids, item.prompt_tokens) == (label.token_ids, label.prompt_tokens)
    assert label.prompt_tokens > 0
    assert made[row(language="de")].token_ids != made[row()].token_ids


@pytest.mark.parametrize(
    ("changed", "settings", "reason"),
    [
        ({"text": None}, {}, "no text"),
        ({"text": "  "}, {}, "no text"),
        ({"text": "?!"}, {"text": TextProcessing(remove_punctuation=True)}, "no text"),
        ({"text": "a<|endoftext|>"}, {}, CONTROL_TOKENS),
        ({"prompt": "a<|endoftext|>"}, {}, CONTROL_TOKENS_BEFORE),
        ({"text": "<|0.00|> a<|0.20|>"}, {}, TIMES),
        ({"text": "<|0.00|> a<|9.00|>"}, {"text": TextProcessing(written_times="read")}, WRONG_TIMES),
        ({}, {"max_duration_s": 0.35}, "longer than 0.35 s"),
        ({"text": "pay " * 20}, {"most_tokens": 16}, "label longer than 16 tokens"),
    ],
)
def test_rows_that_a_setting_leaves_out_say_which(
    items, changed: dict[str, Any], settings: dict[str, Any], reason: str
) -> None:
    assert items(**settings)[row(**changed)] == FailedItem("u1", reason, is_filtered=True)


def test_times_that_are_read_are_no_part_of_a_rows_label(items) -> None:
    made = items(text=TextProcessing(written_times="read"))
    item = made[row("<|0.00|> my<|0.10|><|0.10|> card<|0.36|>", prompt="<|0.00|> pay<|0.10|>")]
    assert item.token_ids == made.encoder.encode("my card", prompt="pay").token_ids


@pytest.mark.parametrize(
    ("changed", "settings", "reason"),
    [
        ({"audio": None}, {}, "the row holds no audio"),
        ({"audio": CLIP[:60]}, {}, "it ends at 0.00"),
        ({"audio": b"no audio"}, {}, "soundfile can't read it"),
        ({}, {"channel": 1}, "channel"),
        ({"start_s": 5.0, "end_s": 7.0}, {}, "the segment starts at 5.00 s, but the recording ends at 0.36 s"),
        ({"stated_s": 0.2}, {}, "its duration should be 0.20 s, but the recording has 0.36 s"),
        ({"problem": "data.start_column: no time"}, {}, "data.start_column: no time"),
        ({"language": "Klingon"}, {}, "the model does not know the language 'Klingon'"),
        ({"task": "dictate"}, {}, "its task 'dictate' is neither transcribe nor translate"),
        ({}, {"has_language": False}, "it has no language, and model.language is not set"),
    ],
)
def test_rows_that_can_not_be_used_are_no_filtered_ones(
    items, changed: dict[str, Any], settings: dict[str, Any], reason: str
) -> None:
    failed = items(**settings)[row(**changed)]
    assert isinstance(failed, FailedItem)
    assert (failed.utterance_id, failed.is_filtered) == ("u1", False)
    assert reason in failed.reason


def test_a_row_sounds_different_in_each_epoch_and_is_masked_where_it_sounds(items) -> None:
    plain = items().of([(0, row())])[0]
    effects = Augmentation(AugmentConfig(speed_prob=1.0, shift_prob=1.0), RATE_HZ)
    made = replace(items(), seed=7, augmentation=effects)
    first, again, later, failed = made.of([(0, row()), (0, row()), (1, row()), (1, row(audio=None))])
    assert isinstance(failed, FailedItem)
    assert np.array_equal(first.clip, again.clip)
    assert first.clip.tobytes() != later.clip.tobytes()
    assert first.clip.tobytes() != plain.clip.tobytes()
    [span] = first.spans
    assert not first.clip[: span.first_sample].any()
    assert (span.stop_sample, span.row_seed) == (len(first.clip), row_seed(7, 0, "u1"))
    assert 0.9 <= len(plain.clip) / (span.stop_sample - span.first_sample) <= 1.1


def test_a_segment_of_a_row_is_cut_and_a_clip_that_was_cut_already_is_used_whole(items) -> None:
    for times, duration_s in (({"start_s": 0.06, "end_s": 0.26}, 0.2), ({"start_s": 100.0, "end_s": 100.36}, 0.36)):
        item = items()[row(**times)]
        assert isinstance(item, Item)
        assert item.duration_s == pytest.approx(duration_s)


def test_a_clip_of_just_under_the_limit_and_a_label_of_just_the_limit_are_kept(items) -> None:
    length = len(items().encoder.encode("pay the bill").token_ids)
    assert isinstance(items(max_duration_s=0.361)[row()], Item)
    assert isinstance(items(most_tokens=length)[row("pay the bill")], Item)
    assert isinstance(items(most_tokens=length - 1)[row("pay the bill")], FailedItem)


def test_a_long_label_is_cut_where_that_is_set(items) -> None:
    made = items(most_tokens=16, cut_long_labels=True)
    item = made[row("pay " * 20)]
    assert item.token_ids == made.encoder.encode("pay " * 20).token_ids
    assert len(item.token_ids) <= 16


def test_a_row_with_a_language_needs_none_of_the_run(items) -> None:
    assert isinstance(items(has_language=False)[row(language="de")], Item)


def test_an_english_only_model_takes_rows_that_are_english(model_and_processor, tiny_english_folder: Path) -> None:
    from accel_asr.model import pretrained as modeling

    _, processor = modeling.load_model_and_processor(str(tiny_english_folder))
    made = StreamItems(processor.feature_extractor, LabelEncoder(processor.tokenizer), STREAM, has_language=False)
    assert isinstance(made[row()], Item)
    assert isinstance(made[row(language="en-GB")], Item)
    assert made[row(language="de")] == FailedItem("u1", "the model does not know the language 'de'")


@pytest.mark.parametrize("language", [None, "en"])
def test_an_english_only_model_is_trained_without_being_told_a_language(
    tiny_english_folder: Path, tmp_path: Path, language: str | None
) -> None:
    data = DataConfig(tars(tmp_path, 3, 6), streaming=True, eval_rows=2, cache_dir=str(tmp_path / "cache"))
    model = ModelConfig(name_or_path=str(tiny_english_folder), language=language)
    for settings in (data, replace(data, streaming=False)):
        job = load_job(Config(model=model, data=settings))
        training = TrainingConfig(max_steps=1, per_device_train_batch_size=2)
        plan, _ = plan_training(training, job.data, num_processes=1)
        options = {"rank": 0, "first_step": 1, "last_step": 1, "place": None, "num_workers": 0, "pin_memory": False}
        (batch,) = next(job.windows(plan, **options))
        assert (len(batch.utterance_ids), batch.failed) == (2, [])


# -- windows


def rows_named(letter: str, count: int, *, wrong: tuple[int, ...] = ()) -> list[Row]:
    texts = ("", "my card")
    return [Row(f"{letter}{number}", CLIP, texts[number not in wrong]) for number in range(count)]


@pytest.fixture
def windows(items, collator: Collator):
    """`windows(shards)`: of one of two ranks, in two micro-batches of two."""

    def start(
        shards: ListedShards,
        place: Place | None = None,
        *,
        num_workers: int = 0,
        ranks: int = 2,
        micro: int = 2,
        accumulation: int = 2,
        collating: Collator = collator,
    ) -> StreamWindows:
        stream = replace(STREAM, shards=shards, block_rows=3)
        return StreamWindows(
            items(shards=shards),
            StreamOrder(stream, rank=0, num_processes=ranks, seed=1),
            StreamPlan(micro, accumulation, ranks, 1, 3),
            collator=collating,
            start=place or Place(),
            num_workers=num_workers,
            pin_memory=False,
        )

    return start


def named(window: list[Batch]) -> list[list[str]]:
    return [batch.utterance_ids for batch in window]


SHARDS = ListedShards(rows_named("a", 7), rows_named("b", 9), rows_named("c", 4))


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_windows_know_their_place_however_far_workers_are_ahead(windows, num_workers: int) -> None:
    order = StreamOrder(replace(STREAM, shards=SHARDS, block_rows=3), rank=0, num_processes=2, seed=1)
    expected = [(one.utterance_id, place) for one, place in itertools.islice(order.rows(Place()), 28)]
    running = windows(SHARDS, num_workers=num_workers)
    assert running.place == Place()
    for first in range(0, 28, 4):
        names = list(itertools.chain(*named(next(running))))
        assert names == [name for name, _ in expected[first : first + 4]]
        assert running.place == expected[first + 3][1]
    running.close()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_what_is_merged_of_a_streams_clips_is_known_by_each_clip(windows, collator: Collator, num_workers: int) -> None:
    merging = SilenceMerging(window_positions=200, position_s=0.02, margin_s=0.1, end_s=0.1)
    running = windows(SHARDS, num_workers=num_workers, collating=replace(collator, merging=merging))
    for batch, plain in itertools.islice(zip(next(running), next(windows(SHARDS)), strict=True), 4):
        assert batch.utterance_ids == plain.utterance_ids
        expected, _ = merging.of_clip(plain.audio_s / len(plain.utterance_ids))  # all are equally long
        assert len(expected) < 200
        assert batch.kept.positions.tolist() == [expected.tolist()] * len(plain.utterance_ids)
    running.close()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_windows_go_on_from_any_place_they_were_at(windows, num_workers: int) -> None:
    running = windows(SHARDS)
    straight_on = [(window, running.place) for window in itertools.islice(running, 9)]
    for done in range(1, 9):
        place = Place(**asdict(straight_on[done - 1][1]))
        going_on = windows(SHARDS, place, num_workers=num_workers if done % 3 == 0 else 0)
        for (expected, _), window in zip(straight_on[done:], going_on, strict=False):
            assert named(window) == named(expected)
            for one, other in zip(window, expected, strict=True):
                assert torch.equal(one.input_features, other.input_features)
                assert torch.equal(one.labels, other.labels)
        going_on.close()


def test_another_dealing_of_a_ranks_share_of_the_window_gives_the_same_rows(windows) -> None:
    one = windows(SHARDS, micro=4, accumulation=1)
    other = windows(SHARDS, micro=1, accumulation=4)
    for first, second in itertools.islice(zip(one, other, strict=True), 6):
        assert list(itertools.chain(*named(first))) == list(itertools.chain(*named(second)))
        assert one.place == other.place


def test_loading_does_not_move_the_generator_that_dropout_draws_from(windows) -> None:
    before = torch.get_rng_state()
    next(windows(SHARDS))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_micro_batch_of_which_nothing_is_left_is_made_one_with_the_next(windows, num_workers: int) -> None:
    # else small batches would end the run: it can't train on nothing
    shards = ListedShards(rows_named("a", 12, wrong=(0, 1, 2, 4, 5, 7, 8, 9, 10)))
    running = windows(shards, num_workers=num_workers, ranks=1, micro=1, accumulation=1)
    batches = [(*next(running), running.place) for _ in range(6)]
    assert [len(batch.utterance_ids) for batch, _ in batches] == [1] * 6
    for first in (0, 3):
        of_epoch = [batch for batch, _ in batches[first : first + 3]]
        left_out = [failed.utterance_id for batch in of_epoch for failed in batch.failed]
        assert set(left_out) <= {f"a{number}" for number in (0, 1, 2, 4, 5, 7, 8, 9, 10)}
        assert sorted(batch.utterance_ids[0] for batch in of_epoch) == ["a11", "a3", "a6"]
    counted = [failed.utterance_id for batch, _ in batches for failed in batch.failed]
    assert len(counted) + 6 == 12 + batches[-1][1].row + batches[-1][1].taken  # of one epoch, and as far as it came
    again = windows(shards, batches[2][1], ranks=1, micro=1, accumulation=1)
    assert next(again)[0].utterance_ids == batches[3][0].utterance_ids
    running.close()


def test_a_stream_without_a_usable_row_gives_empty_batches_and_not_none(windows) -> None:
    # the step then says so: an endless search would leave the other ranks waiting
    shards = ListedShards(rows_named("a", 10, wrong=tuple(range(10))))
    (batch,) = next(windows(shards, ranks=1, micro=50, accumulation=1))
    assert batch.utterance_ids == []
    assert len(batch.failed) == MOST_LEFT_OUT_IN_A_ROW


# -- the plan


def test_a_stream_counts_no_epochs_and_takes_its_share_of_failures_of_what_was_seen() -> None:
    plan = StreamPlan(micro_batch_size=4, accumulation_steps=2, num_processes=3, seed=1, block_rows=10)
    assert (plan.window_size, plan.steps_per_epoch, plan.num_rows) == (24, 0, 0)
    assert [plan.rows_by(step) for step in (1, 41, 42, 100)] == [1_000, 1_000, 1_008, 2_400]
    assert (plan.epochs_at(7), plan.ends_epoch(7)) == (0.0, False)


def test_the_order_depends_on_blocks_and_not_on_the_dealing() -> None:
    plan = StreamPlan(micro_batch_size=4, accumulation_steps=2, num_processes=3, seed=1, block_rows=10)
    assert replace(plan, micro_batch_size=2, accumulation_steps=4).order_checksum == plan.order_checksum
    assert replace(plan, block_rows=11).order_checksum != plan.order_checksum


# -- a run's data


def tars(folder: Path, *counts: int, text: str = "my card {}") -> str:
    for shard, count in enumerate(counts):
        members: dict[str, Any] = {}
        for number in range(count):
            silence = np.zeros(1 + number + 100 * shard)  # no two recordings are the same
            members[f"{number}.wav"] = wav_bytes(np.concatenate([tone_clip(["my", "card"]), silence]))
            members[f"{number}.txt"] = text.format(number)
        write_tar(folder / f"s-{shard}.tar", members)
    return str(folder / "s-*.tar")


@pytest.fixture
def load(encoder: LabelEncoder, tmp_path: Path):
    def load_with(name: str, **data: Any) -> RunData:
        settings = DataConfig(name, streaming=True, cache_dir=str(tmp_path / "cache"), **data)
        return load_train_and_validation(settings, encoder=encoder, sampling_rate_hz=RATE_HZ, window_s=2.0, seed=0)

    return load_with


def test_the_first_rows_are_validated_on_and_never_trained_on(load, tmp_path: Path) -> None:
    data = load(tars(tmp_path, 3, 4), eval_rows=5, text=TextConfig(lowercase=True), streaming_block_rows=2)
    assert data.validation.ids() == ["s-0/0", "s-0/1", "s-0/2", "s-1/0", "s-1/1"]
    assert [one.text for one in data.validation][:2] == ["my card 0", "my card 1"]
    assert len(data.train) == 0
    assert data.weights is None
    assert data.stream.held_out == (3, 2)
    assert (data.stream.block_rows, data.stream.text.lowercase) == (2, True)
    read = StreamOrder(data.stream, rank=0, num_processes=1, seed=0).rows(Place())
    assert {one.utterance_id for one, _ in itertools.islice(read, 20)} == {"s-1/2", "s-1/3"}
    assert data.summary["train"] == {"shards": 2, "streamed": True}
    assert data.summary["validation"]["utterances"] == 5
    assert data.notices == [
        "train: streamed from 2 shards; dropped rows are counted during training",
        "rows of the stream whose recording is validated on are dropped, and counted",
        "validation: kept 5 of 5 utterances; dropped none",
    ]


def test_a_stream_is_validated_on_a_file_of_its_own_and_not_trained_on_its_recordings(load, tmp_path: Path) -> None:
    name = tars(tmp_path, 3)
    with tarfile.open(tmp_path / "s-0.tar") as tar:
        (tmp_path / "1.wav").write_bytes(tar.extractfile("1.wav").read())  # type: ignore[union-attr]
    (tmp_path / "dev.csv").write_text("audio,text\n1.wav,my card\n")
    data = load(name, eval_name_or_path=str(tmp_path / "dev.csv"))
    assert data.validation.ids() == ["1.wav"]
    assert data.stream.held_out == ()
    rows = [one for one, _ in data.stream.shards.rows(0)]
    assert [digest_of(one) in data.stream.validated for one in rows] == [False, True, False]
    assert load(name, eval_name_or_path=str(tmp_path / "dev.csv"), overlap="allow").stream.validated == frozenset()


def test_a_changed_tar_is_read_anew_for_validation(load, tmp_path: Path) -> None:
    name = tars(tmp_path, 3, 4)
    assert load(name, eval_rows=4).stream.held_out == (3, 1)
    tars(tmp_path, 2, 4, text="your money {}")
    data = load(name, eval_rows=4)
    assert data.stream.held_out == (2, 2)
    assert {one.text for one in data.validation} == {"your money 0", "your money 1"}


@pytest.mark.parametrize(
    "settings", [{"eval_split": "train"}, {"eval_split": "train[90%:]"}, {"eval_split": "test"}, {"eval_rows": 7}]
)
def test_nothing_is_trained_on_that_is_validated_on(load, tmp_path: Path, settings: dict[str, Any]) -> None:
    ((setting, value),) = settings.items()
    with pytest.raises(UserError) as refusal:
        load(tars(tmp_path, 3, 4), **settings)
    assert f"data.{setting}" in str(refusal.value)
    assert str(value) in str(refusal.value)


def test_the_job_streams_what_the_settings_say(tiny_folder: Path, tmp_path: Path) -> None:
    data = DataConfig(tars(tmp_path, 3, 6), streaming=True, eval_rows=2, streaming_block_rows=3, long_labels="cut")

    def load(language: str | None) -> Job:
        model = ModelConfig(name_or_path=str(tiny_folder), language=language)
        return load_job(Config(model=model, data=data))

    job = load("en")
    training = TrainingConfig(max_steps=5, per_device_train_batch_size=2, gradient_accumulation_steps=2, seed=7)
    plan, last_step = plan_training(training, job.data, num_processes=2)
    assert (plan, last_step) == (StreamPlan(2, 2, 2, 7, 3), 5)
    assert job.data.stream.cut_long_labels
    running = job.windows(plan, rank=1, first_step=1, last_step=5, place=None, num_workers=0, pin_memory=False)
    order = StreamOrder(job.data.stream, rank=1, num_processes=2, seed=7)
    expected = [(one.utterance_id, place) for one, place in itertools.islice(order.rows(Place()), 8)]
    assert list(itertools.chain(*named(next(running)))) == [name for name, _ in expected[:4]]
    going_on = job.windows(
        plan, rank=1, first_step=2, last_step=5, place=running.place, num_workers=0, pin_memory=False
    )
    assert list(itertools.chain(*named(next(going_on)))) == [name for name, _ in expected[4:]]
    assert job.fingerprint() == job.data.stream.checksum
    with refused("--model.language", "not set"):
        load(None)  # the rows that are validated on say none


def test_the_device_makes_features_of_a_stream_too(tiny_folder: Path, tmp_path: Path) -> None:
    data = DataConfig(tars(tmp_path, 3, 6), streaming=True, eval_rows=2, streaming_block_rows=3)
    plan = StreamPlan(2, 2, 1, 7, 3)
    first = []
    for on_device in (False, True):
        model = ModelConfig(name_or_path=str(tiny_folder), language="en")
        job = load_job(Config(model=model, data=replace(data, features_on_device=on_device)))
        windows = job.windows(plan, rank=0, first_step=1, last_step=5, place=None, num_workers=0, pin_memory=False)
        first.append(next(windows))
    assert [batch.input_features.dtype for batch in first[1]] == [torch.int16] * 2
    for made_by_cpu, batch in zip(*first, strict=True):
        moved = batch.to(torch.device("cpu"))
        torch.testing.assert_close(moved.input_features, made_by_cpu.input_features, rtol=0, atol=1e-4)


# -- settings


STREAMING = ["--data.streaming", "true", "--data.train_rows", "null", "--data.name_or_path", "lab/speech"]
NEEDED = ["--training.max_steps", "9", "--evaluation.eval_steps", "3"]


def test_a_stream_with_all_that_it_needs_is_taken() -> None:
    config = parse_config([*STREAMING, *NEEDED, "--data.eval_rows", "5"])
    assert (config.data.streaming, config.training.max_steps, config.data.streaming_block_rows) == (True, 9, 500)
    assert parse_config([*STREAMING, *NEEDED, "--data.eval_split", "test"]).data.eval_split == "test"


def test_all_that_a_stream_lacks_and_what_does_not_go_with_it_is_reported_at_once() -> None:
    wrong = ["--data.group_column", "speaker", "--training.group_by_length", "true", "--training.batch_seconds", "60"]
    with pytest.raises(UserError) as caught:
        parse_config([*STREAMING, "--data.eval_rows", "5", *wrong])
    lacking = ["--training.max_steps", "--evaluation.eval_steps"]
    assert [error.setting for error in caught.value.errors] == [*lacking, *wrong[::2]]
    assert ["--data.streaming" in error.problem for error in caught.value.errors] == [True] * 5


@pytest.mark.parametrize(("setting", "value"), [("data.eval_fraction", "0.1"), ("data.train_rows", "4")])
def test_rows_that_are_held_out_by_their_count_do_not_go_with_a_stream(setting: str, value: str) -> None:
    with refused(f"--{setting}", "--data.streaming", "does not know all rows first"):
        parse_config([*STREAMING, *NEEDED, f"--{setting}", value])


def test_a_local_source_is_refused_before_anything_is_read(load, tmp_path: Path) -> None:
    with refused("--data.streaming", repr(str(tmp_path)), remedy="leave out data.streaming"):
        load(str(tmp_path), eval_rows=2)
    assert open_shards(SourceName(tars(tmp_path, 1)))  # but tars are streamed, wherever they are


# -- seeds of rows


def test_a_row_of_a_stream_has_a_seed_of_its_epoch_and_name_on_any_rank(items) -> None:
    made = replace(items(), seed=5)
    first, again, other = made.of([(0, row()), (1, row()), (0, replace(row(), utterance_id="u2"))])
    assert first.row_seed == row_seed(5, 0, "u1")
    assert len({first.row_seed, again.row_seed, other.row_seed}) == 3
