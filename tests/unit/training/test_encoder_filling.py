"""The encoder hears each clip once, and a step on what it said is the step on the clip, to float16 rounding."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from accel_asr.audio.log_mel import log_mel
from accel_asr.config.settings import Config, DataConfig, ModelConfig
from accel_asr.data.loading import encoder_cache
from accel_asr.data.loading.clip_items import ClipItems
from accel_asr.data.loading.collator import Batch, Collator
from accel_asr.data.loading.encoder_cache import EncoderCache, open_encoder_cache
from accel_asr.data.loading.items import FailedItem, Item
from accel_asr.model import pretrained as modeling
from accel_asr.model.parts import freeze
from accel_asr.run.job import Job, load_job
from accel_asr.training.encoder_filling import fill_encoder_cache
from accel_asr.training.optimizers import build_optimizer
from accel_asr.training.started_step import StepResult
from accel_asr.training.step import train_step
from tests.refusals import refused

CLIPS = 7
SMALL_CHUNK = 2


@pytest.fixture
def model(model_and_processor):
    frozen = model_and_processor[0].train()
    freeze(frozen, ["encoder"])
    return frozen


@pytest.fixture
def opened(model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], EncoderCache]:
    """A cache of that name, in small chunks, for the model as it is."""
    monkeypatch.setattr(encoder_cache, "CHUNK_CLIPS", SMALL_CHUNK)

    def open_one(name: str = "cache") -> EncoderCache:
        shape = model.config.max_source_positions, model.config.d_model
        digest = modeling.encoder_digest(model)
        return open_encoder_cache(clips=CLIPS, shape=shape, purpose=digest, cache_dir=tmp_path / name)[0]

    return open_one


def fill(model, cache: EncoderCache, items: ClipItems, *, rank: int = 0, num_processes: int = 1) -> list[int]:
    progress: list[int] = []
    fill_encoder_cache(
        model,
        cache,
        items.utterances,
        feature_extractor=items.feature_extractor,
        rank=rank,
        num_processes=num_processes,
        num_workers=0,
        on_progress=progress.append,
    )
    return progress


def everything(cache: EncoderCache) -> list[np.ndarray]:
    found = [cache.outputs(clip) for clip in range(CLIPS)]
    assert all(one is not None for one in found)
    return found


def encoded(items: ClipItems, cache: EncoderCache) -> ClipItems:
    watched = copy.copy(items)
    watched.encoder_cache = cache
    return watched


def encoded_collator(collator: Collator, shape: tuple[int, int]) -> Collator:
    return replace(collator, encoded_shape=shape)


# -- filling


def test_the_cache_holds_what_the_encoder_says_of_each_clip(model, opened, clip_items: ClipItems) -> None:
    cache = opened()
    generator = torch.get_rng_state()
    assert fill(model, cache, clip_items) == [2, 4, 6, 7]
    assert torch.equal(torch.get_rng_state(), generator)
    assert model.get_encoder().training
    for clip, found in enumerate(everything(cache)):
        features = torch.from_numpy(log_mel(clip_items[0, clip].clip, clip_items.feature_extractor))[None]
        expected = model.get_encoder()(features).last_hidden_state[0].detach()
        torch.testing.assert_close(torch.from_numpy(found).float(), expected, rtol=2**-10, atol=3e-6)  # 1.1e-6 seen
    assert fill(model, cache, clip_items) == [7] * 4  # and hears none again, or it would not be:
    assert cache.missing(0) == []


def test_a_filled_cache_is_not_computed_again(
    model, opened, clip_items: ClipItems, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(model, opened(), clip_items)
    monkeypatch.setattr(model.get_encoder(), "forward", lambda *_, **__: pytest.fail("it heard a clip again"))
    fill(model, opened(), clip_items)


def test_outputs_that_were_damaged_at_rest_are_computed_again_to_the_same_numbers(
    model, opened, clip_items: ClipItems
) -> None:
    cache = opened()
    fill(model, cache, clip_items)
    expected = everything(cache)
    with (cache.folder / "outputs").open("r+b") as file:
        file.seek(3 * expected[0].nbytes)
        file.write(bytes(expected[0].nbytes))
    renewed = fill_encoder_cache(
        model,
        cache,
        clip_items.utterances,
        feature_extractor=clip_items.feature_extractor,
        rank=0,
        num_processes=1,
        num_workers=0,
    )
    assert renewed == 1
    np.testing.assert_array_equal(everything(cache), expected)


@pytest.mark.parametrize("kept_before", [0, 1, 3])
def test_one_that_was_killed_goes_on_to_the_same_numbers(
    model, opened, clip_items: ClipItems, monkeypatch: pytest.MonkeyPatch, kept_before: int
) -> None:
    whole = opened("whole")
    fill(model, whole, clip_items)
    cache = opened("killed")
    keep = cache.keep
    calls = []

    def killed(clips: list[int], outputs: np.ndarray) -> None:
        calls.append(clips)
        if len(calls) > kept_before:
            raise KeyboardInterrupt
        keep(clips, outputs)

    monkeypatch.setattr(cache, "keep", killed)
    with pytest.raises(KeyboardInterrupt):
        fill(model, cache, clip_items)
    again = opened("killed")
    assert again.kept() == kept_before * SMALL_CHUNK
    fill(model, again, clip_items)
    np.testing.assert_array_equal(everything(again), everything(whole))


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_a_rank_that_shares_its_disk_with_nobody_gets_every_clip(
    model, opened, clip_items: ClipItems, rank: int
) -> None:
    whole, alone = opened("whole"), opened("alone")
    fill(model, whole, clip_items)
    fill(model, alone, clip_items, rank=rank, num_processes=3)
    np.testing.assert_array_equal(everything(alone), everything(whole))


def test_what_another_has_kept_in_the_meantime_is_not_written_again(
    model, opened, clip_items: ClipItems, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, other = opened(), opened()
    shape = cache.shape
    claimed = cache.claimed

    def late(chunk: int, *, wait: bool):
        if other.missing(chunk):
            missing = other.missing(chunk)
            other.keep(missing, np.full((len(missing), *shape), 7, dtype=np.float16))
        return claimed(chunk, wait=wait)

    monkeypatch.setattr(cache, "claimed", late)
    fill(model, cache, clip_items)
    assert (np.array(everything(cache)) == 7).all()


def test_a_chunk_that_another_is_at_is_left_to_it_until_the_end(
    model, opened, clip_items: ClipItems, monkeypatch: pytest.MonkeyPatch
) -> None:
    from contextlib import nullcontext

    cache = opened()
    claimed = cache.claimed
    asked: list[tuple[int, bool]] = []

    def busy(chunk: int, *, wait: bool):
        asked.append((chunk, wait))
        return nullcontext(False) if chunk == 1 and not wait else claimed(chunk, wait=wait)

    monkeypatch.setattr(cache, "claimed", busy)
    fill(model, cache, clip_items)
    assert asked == [(0, False), (1, False), (2, False), (3, False), (1, True)]
    assert cache.kept() == CLIPS


def test_other_weights_have_another_cache(model, opened) -> None:
    before = opened().folder
    with torch.no_grad():
        next(model.get_decoder().parameters())[0, 0] += 1
    assert opened().folder == before
    with torch.no_grad():
        model.get_encoder().layers[0].fc1.bias[0] += 1e-6
    assert opened().folder != before


def test_a_clip_that_can_not_be_decoded_fails_when_its_turn_comes(
    model, opened, clip_files: ClipItems, tmp_path: Path
) -> None:
    (tmp_path / "clip-3.wav").unlink()
    cache = opened()
    fill(model, cache, clip_files)
    assert cache.kept() == CLIPS - 1
    items = encoded(clip_files, cache)
    failed = items[0, 3]
    assert isinstance(failed, FailedItem)
    assert failed == clip_files[0, 3]
    assert isinstance(items[0, 4], Item)


def test_a_clip_that_can_be_decoded_only_later_is_still_left_out(model, opened, clip_files, tmp_path: Path) -> None:
    path = tmp_path / "clip-3.wav"
    content = path.read_bytes()
    path.unlink()
    cache = opened()
    fill(model, cache, clip_files)
    path.write_bytes(content)
    failed = encoded(clip_files, cache)[0, 3]
    assert "could not be decoded when" in failed.reason


def test_outputs_beyond_float16_are_refused_by_name(model, opened, clip_items: ClipItems) -> None:
    with torch.no_grad():
        model.get_encoder().layer_norm.bias[3] = 70_000
    with refused("--model.cache_encoder_outputs", "'clip-0'", "float16"):
        fill(model, opened(), clip_items)


@pytest.mark.parametrize(
    "name", ["apply_spec_augment", "dropout", "attention_dropout", "activation_dropout", "encoder_layerdrop"]
)
def test_an_encoder_that_hears_by_chance_is_refused(model, name: str) -> None:
    modeling.require_constant_encoder(model)
    setattr(model.config, name, True if name == "apply_spec_augment" else 0.1)
    with refused("--model.cache_encoder_outputs", f"has {name} "):
        modeling.require_constant_encoder(model)


def test_a_job_trains_on_the_cache_of_its_own_model_and_data(
    model_and_processor, tiny_folder: Path, tmp_path: Path
) -> None:
    model, processor = model_and_processor
    with torch.no_grad():
        model.get_encoder().layers[0].fc1.bias[0] += 0.5
    modeling.save_model_folder(model, processor, tmp_path / "other")

    def job(folder: Path, rows: int) -> Job:
        settings = ModelConfig(str(folder), language="en", freeze=["encoder"], cache_encoder_outputs=True)
        data = DataConfig("quickstart", text_column="english_transcription", max_duration_s=2.0, eval_rows=rows)
        return load_job(Config(model=settings, data=data))

    first = job(tiny_folder, 3)
    assert first.validation_items.encoder_cache is None
    assert not first.collator([]).is_encoded
    assert first.train_collator([]).is_encoded
    assert job(tiny_folder, 3).fingerprint() == first.fingerprint()
    assert len({first.fingerprint(), job(tmp_path / "other", 3).fingerprint(), job(tiny_folder, 4).fingerprint()}) == 3


# -- training on it


@pytest.fixture
def updated(model, accelerator) -> Callable[[list[Batch]], tuple[StepResult, dict[str, torch.Tensor]]]:
    """One update from the same weights: its result, and the weights after it."""
    start = copy.deepcopy(model.state_dict())

    def run(window: list[Batch]) -> tuple[StepResult, dict[str, torch.Tensor]]:
        model.load_state_dict(start)
        optimizer = build_optimizer(model, learning_rate=1e-3, weight_decay=0.0)
        _, prepared = accelerator.prepare(model, optimizer)
        result = train_step(model, prepared, window, accelerator=accelerator, max_grad_norm=1.0)
        return result, copy.deepcopy(model.state_dict())

    return run


def test_a_step_on_the_cache_is_the_step_on_the_clips_to_float16_rounding(
    model, opened, clip_items: ClipItems, collator: Collator, updated
) -> None:
    cache = opened()
    fill(model, cache, clip_items)
    put_together = encoded_collator(collator, cache.shape)
    rows = [[0, 1, 2], [3, 4, 5, 6]]
    expected, _ = updated([collator([clip_items[0, row] for row in part]) for part in rows])
    items = encoded(clip_items, cache)
    window = [put_together([items[0, row] for row in part]) for part in rows]
    assert window[0].input_features.dtype == torch.float16
    assert window[0].input_features.shape == (3, *cache.shape)
    result, _ = updated([*window, put_together([])])
    assert result.loss == pytest.approx(expected.loss, rel=1e-4)  # 2e-7 seen
    assert result.grad_norm == pytest.approx(expected.grad_norm, rel=1e-3)
    assert (result.target_tokens, result.audio_s) == (expected.target_tokens, expected.audio_s)


def test_without_rounding_it_is_the_same_step(model, clip_items: ClipItems, collator: Collator, updated) -> None:
    batch = collator([clip_items[0, row] for row in range(4)])
    with torch.no_grad():
        outputs = model.get_encoder()(batch.input_features).last_hidden_state
    kept = copy.copy(batch)
    kept.input_features, kept.is_encoded = outputs, True
    (expected, weights), (result, found) = updated([batch]), updated([kept])
    assert result == expected
    assert all(torch.equal(found[name], weight) for name, weight in weights.items())
    kept.input_features = outputs * 1.01  # so the test can tell them apart
    assert updated([kept])[0].loss != expected.loss


def test_a_batch_keeps_what_it_is_on_its_way_to_the_device(opened, clip_items: ClipItems, collator: Collator) -> None:
    batch = encoded_collator(collator, (100, 16))([])
    assert batch.to(torch.device("cpu")).is_encoded
    [outputs] = batch.to(torch.device("cpu")).model_inputs()["encoder_outputs"]
    assert (outputs.dtype, outputs.shape) == (torch.float32, (1, 100, 16))
    assert list(collator([]).model_inputs()) == ["input_features", "kept"]
