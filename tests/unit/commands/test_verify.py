"""`accel-asr verify` in one process, and the comparisons it is made of."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import nn
from torch.backends import cuda, cudnn

from accel_asr.audio.spec_augment import SpecAugment
from accel_asr.commands import verify
from accel_asr.data.loading.collator import Batch
from accel_asr.data.order.epoch_order import WindowPlan
from accel_asr.model import gradient_checkpointing
from accel_asr.training import step
from accel_asr.verification.checks import TOLERANCES, Likeness, likeness
from accel_asr.verification.updates import ComparedStep, plan_to_verify, steps_to_verify, training_checks
from tests.conftest import forget_accelerate
from tests.tiny_datasets import SAMPLE_RATE_HZ, tone_utterances

SAME = Likeness(norm=1.0, other_norm=1.0, turned=0.0, difference=0.0)


@pytest.fixture(autouse=True)
def _first_accelerator(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    forget_accelerate()
    yield
    forget_accelerate()


@pytest.fixture
def settings(tmp_path: Path, tiny_folder: Path) -> list[str]:
    """Train the tiny model on nine clips of tones, score three."""
    lines = ["audio,text"]
    for index, (words, samples) in enumerate(tone_utterances(12)):
        soundfile.write(tmp_path / f"{index}.wav", samples, SAMPLE_RATE_HZ)
        lines.append(f"{index}.wav,{' '.join(words)}")
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")
    path = tmp_path / "job.yaml"
    path.write_text(
        f"model: {{name_or_path: {tiny_folder}, language: en}}\n"
        f"data: {{name_or_path: {manifest}, train_rows: 9}}\n"
        "training: {per_device_train_batch_size: 4, dataloader_drop_last: false, warmup_steps: 2}\n"
        "evaluation: {generation_max_length: 5}\n"
        f"output_dir: {tmp_path / 'run'}\n",
        encoding="utf-8",
    )
    return ["--config", str(path)]


def test_checkpointed_layers_are_compared_with_layers_that_are_not(settings, capsys, monkeypatch) -> None:
    calls = []
    monkeypatch.setattr(
        gradient_checkpointing, "checkpoint", lambda run, *inputs, **_: (calls.append(1), run(*inputs))[1]
    )
    assert verify.main([*settings, "--training.gradient_checkpointing", "both"]) == 0
    assert "FAIL" not in capsys.readouterr().out
    assert len(calls) == 3 * 2 * 4  # steps, micro-batches, layers


@pytest.mark.parametrize("adapters", [[], ["--lora.enabled", "true", "--lora.use_dora", "true"]], ids=["whole", "lora"])
def test_one_process_is_compared_with_its_batch_split(settings, tmp_path: Path, capsys, adapters: list[str]) -> None:
    assert verify.main([*settings, *adapters]) == 0
    out = capsys.readouterr().out
    assert "1 process x 2 accumulation steps x 2 = 4 utterances" in out
    assert "note: one process without accumulation: its batch of 4 is split by 2" in out
    assert "with 4, 4, 1 utterances" in out
    assert "FAIL" not in out
    assert not (tmp_path / "run").exists()


def test_clips_sound_the_same_however_a_batch_is_split(settings, tmp_path: Path, capsys) -> None:
    noise = tmp_path / "noise"
    noise.mkdir()
    soundfile.write(noise / "hiss.wav", np.random.default_rng(1).standard_normal(24_000) / 20, SAMPLE_RATE_HZ)
    given = {"speed_prob": 1.0, "noise_prob": 1.0, "noise_dir": noise, "max_snr_db": 5.0, "shift_prob": 1.0}
    augment = [f"--augment.{name}={value}" for name, value in given.items()]
    assert verify.main([*settings, *augment, "--data.timestamps_probability=0.5"]) == 0
    out = capsys.readouterr().out
    assert "augment.noise_dir: 1 recording," in out
    assert "pass: all" in out


def test_smoothed_labels_schedules_and_parts_are_the_same_in_both(settings, capsys) -> None:
    technique = ["--training.label_smoothing_factor", "0.1", "--model.freeze", "[encoder_layers: 1]"]
    technique += ["--training.learning_rate_multipliers", "{encoder: 0.1, embeddings: 0.5}"]
    technique += ["--training.lr_scheduler_type", "cosine"]
    assert verify.main([*settings, *technique]) == 0, capsys.readouterr().out


def test_a_mean_of_micro_batch_means_fails(settings, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    summed_loss = step._summed_loss

    def mean_times_constant(model: nn.Module, batch: Batch, **options: float) -> torch.Tensor:
        return 14 * summed_loss(model, batch, **options) / len(batch.target_positions)

    monkeypatch.setattr(step, "_summed_loss", mean_times_constant)
    # without the short window, whose empty micro-batch has no mean at all
    assert verify.main([*settings, "--training.dataloader_drop_last", "true"]) == 1
    out = capsys.readouterr().out
    assert "FAIL: loss, gradient norm, gradient direction, change by 3 updates\n" in out


def test_products_are_not_rounded_to_tf32_while_they_are_compared(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    summed_loss, seen = step._summed_loss, set()

    def look(model: nn.Module, batch: Batch, **options: float) -> torch.Tensor:
        seen.add((cudnn.allow_tf32, cuda.matmul.allow_tf32, torch.are_deterministic_algorithms_enabled()))
        return summed_loss(model, batch, **options)

    monkeypatch.setattr(step, "_summed_loss", look)
    monkeypatch.setattr(cudnn, "allow_tf32", True)
    cuda.matmul.allow_tf32 = True
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    assert verify.main([*settings, "--training.deterministic", "true"]) == 0
    assert seen == {(False, False, True)}
    assert not torch.are_deterministic_algorithms_enabled()


MASKED = ["--spec_augment.enabled", "true", "--spec_augment.mask_time_length", "10"]


def test_masks_of_spec_augment_are_the_same_in_both_also_of_clips_without_speech(settings, capsys) -> None:
    silent = ["--data.no_speech_fraction", "0.3"]
    assert verify.main([*settings, *MASKED, *silent, "--data.features_on_device", "true"]) == 0
    out = capsys.readouterr().out
    assert "the model's own SpecAugment" in out
    assert "FAIL" not in out


def test_masks_from_a_global_generator_would_fail(settings, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    draw, draws = SpecAugment.draw, np.random.default_rng(0)
    monkeypatch.setattr(
        SpecAugment, "draw", lambda masks, seed, **place: draw(masks, int(draws.integers(2**62)), **place)
    )
    assert verify.main([*settings, *MASKED]) == 1
    assert "FAIL: loss, gradient norm" in capsys.readouterr().out


@pytest.mark.parametrize("given", [["--verify_utterances", "1"], ["--verify_utterances", "x"], ["--verify_utterances"]])
def test_a_number_of_utterances_that_is_none(settings, given: list[str], capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        verify.main([*settings, *given])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: --verify_utterances")


def test_help_shows_the_option_beside_the_settings(capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        verify.main(["--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith("usage: accel-asr verify")
    assert "--verify_utterances N" in out
    assert "--training.learning_rate" in out


# -- what is compared


def plan(processes: int, accumulation: int, micro: int, rows: int = 100) -> WindowPlan:
    return WindowPlan(rows, micro, accumulation, processes, seed=0, drop_last=False)


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ((1, 1, 15), (1, 3, 5)),
        ((1, 1, 7), (1, 7, 1)),
        ((1, 1, 1), (1, 2, 1)),
        ((1, 1, 64), (1, 2, 16)),
        ((1, 2, 16), (1, 2, 16)),
        ((2, 1, 15), (2, 1, 15)),
        ((2, 2, 16), (2, 2, 8)),
        ((8, 8, 4), (8, 8, 1)),
    ],
)
def test_the_window_is_made_small_and_never_of_one_batch(given: tuple[int, ...], made: tuple[int, ...]) -> None:
    small, notes = plan_to_verify(plan(*given), most_utterances=32)
    assert (small.num_processes, small.accumulation_steps, small.micro_batch_size) == made
    assert bool(notes) == (given != made)


def test_the_steps_are_the_first_the_peak_and_a_short_one() -> None:
    of_eight = plan(1, 2, 4)  # 12 full windows and one of four rows
    assert steps_to_verify(of_eight, warmup_steps=20, last_step=3 * 13 + 5) == [1, 20, 39]
    assert len(of_eight.window(39)) == 4
    assert steps_to_verify(of_eight, warmup_steps=0, last_step=5) == [1, 2, 5]
    assert steps_to_verify(of_eight, warmup_steps=50, last_step=1) == [1]


@pytest.mark.parametrize(("count", "processes", "batch_size"), [(32, 2, 57), (13, 2, 3), (8, 1, 2), (3, 8, 32)])
def test_validation_batches_do_not_come_out_even(count: int, processes: int, batch_size: int) -> None:
    taken, size = verify._utterances_to_score(list(range(40)), count, processes, batch_size)  # type: ignore[arg-type]
    assert len(taken) % (processes * size) != 0
    assert size <= batch_size
    assert count - 1 <= len(taken) <= count


# -- how it is compared


def test_likeness_of_vectors_in_parts() -> None:
    one, other = torch.tensor([3.0, 4.0]), torch.tensor([-4.0, 3.0])
    turned = likeness([one[:1], one[1:]], [other[:1], other[1:]])
    assert (turned.norm, turned.other_norm, turned.turned) == (5.0, 5.0, 1.0)
    assert turned.difference == pytest.approx(math.sqrt(2))
    assert likeness([one], [2 * one]) == Likeness(5.0, 10.0, 0.0, 1.0)
    assert likeness([0 * one], [0 * one]) == Likeness(0.0, 0.0, 0.0, 0.0)
    assert likeness([one], [0 * one]).turned == 1.0


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_fails(value: float) -> None:
    spoiled = likeness([torch.ones(2)], [torch.tensor([1.0, value])])
    steps = [compared(), compared(gradients=spoiled, launched_loss=value), compared()]
    assert failed(steps, changes=spoiled) == ["loss", "gradient norm", "gradient direction", "change by 3 updates"]


def compared(**changed: object) -> ComparedStep:
    values = {"rates": [0.1, 0.05], "loss": 2.0, "launched_loss": 2.0, "gradients": SAME, "launched_rates": [0.1, 0.05]}
    return ComparedStep(**{**values, **changed})  # type: ignore[arg-type]


def failed(steps: list[ComparedStep], changes: Likeness = SAME) -> list[str]:
    checks = training_checks(steps, changes, allowed=TOLERANCES["no"])
    return [check.name for check in checks if not check.passed]


def test_steps_that_agree_pass() -> None:
    assert failed([compared(), compared(launched_loss=2.0 * (1 + 1e-6))]) == []


@pytest.mark.parametrize("rates", [[0.1, 0.1], [0.1, 0.05, 0.1, 0.05], [0.1]])
def test_another_rate_in_one_group_or_two_updates_for_one_step_fail(rates: list[float]) -> None:
    assert failed([compared(), compared(launched_rates=rates)]) == ["learning rates"]


def test_the_worst_step_counts() -> None:
    assert failed([compared(), compared(launched_loss=2.1), compared()]) == ["loss"]
