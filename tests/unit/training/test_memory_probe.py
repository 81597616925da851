"""The largest micro-batch that fits: by out-of-memory errors as of a GPU, and by growth as on a CPU."""

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from accel_asr.config.training_settings import TrainingConfig
from accel_asr.model.whisper_for_training import WhisperForTraining
from accel_asr.training import memory_probe
from accel_asr.training.memory_probe import Fitting, MemoryProbe, foreseen
from accel_asr.training.optimizers import optimizer_of_run
from accel_asr.training.random_state import random_state

DIVISORS = [1, 2, 3, 4, 6, 8, 12, 24]


@pytest.fixture
def probe(model_and_processor, accelerator) -> MemoryProbe:
    """Of a model with dropout, so that its steps draw random numbers."""
    model = model_and_processor[0]
    for part in model.modules():
        if hasattr(part, "dropout"):
            part.dropout = 0.5
    return MemoryProbe(
        model=model,
        build_optimizer=lambda copied: optimizer_of_run(copied, TrainingConfig(), learning_rate=1e-3),
        clip_shape=(80, 200),
        is_encoded=False,
        label_positions=20,
        accelerator=accelerator,
    )


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The micro-batches of all forward passes, in order."""
    seen: list[int] = []
    forward = WhisperForTraining.forward

    def noted(self: WhisperForTraining, *arguments: object, **options: object) -> object:
        seen.append(len(options["decoder_input_ids"]))  # type: ignore[arg-type]
        return forward(self, *arguments, **options)

    monkeypatch.setattr(WhisperForTraining, "forward", noted)
    return seen


CUDA_ERROR = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
CPU_ERROR = RuntimeError(
    "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried ..."
)


def out_of_memory_above(rows: int, monkeypatch: pytest.MonkeyPatch, error: Exception = CUDA_ERROR) -> None:
    """Let forward passes of more rows raise what PyTorch raises."""
    forward = WhisperForTraining.forward

    def limited(self: WhisperForTraining, *arguments: object, **options: object) -> object:
        if len(options["decoder_input_ids"]) > rows:  # type: ignore[arg-type]
            raise error
        return forward(self, *arguments, **options)

    monkeypatch.setattr(WhisperForTraining, "forward", limited)


@pytest.mark.parametrize(("rows", "fits"), [(24, 24), (7, 6), (0, 0)])
def test_a_gpu_tries_from_the_largest_down(
    probe: MemoryProbe, sizes: list[int], monkeypatch: pytest.MonkeyPatch, rows: int, fits: int
) -> None:
    out_of_memory_above(rows, monkeypatch)
    assert probe.largest_by_trying(DIVISORS, limit=10**12) == Fitting(fits, 0, 10**12)
    assert sizes == ([fits] if fits else [])  # the others ended before transformers' own forward


def test_another_error_is_no_lack_of_memory(probe: MemoryProbe, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(WhisperForTraining, "forward", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        probe.largest_by_trying(DIVISORS, limit=10**12)


def needing(bytes_of: Callable[[int], int], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let a micro-batch need these bytes; the list of those that are tried."""
    tried: list[int] = []

    def needed_by(_: MemoryProbe, micro_batch: int) -> int:
        tried.append(micro_batch)
        return bytes_of(micro_batch)

    monkeypatch.setattr(MemoryProbe, "needed_by", needed_by)
    return tried


@pytest.mark.parametrize(
    ("limit", "fits", "tried"),
    [
        (1_000, 8, [1, 2, 8]),  # 8 need 900 and 12 would need 1,300: never tried
        (1_300, 12, [1, 2, 12]),
        (10_000, 24, [1, 2, 12, 24]),  # not further than 8 times what was measured
        (250, 1, [1, 2]),
        (199, 0, [1]),
    ],
)
def test_a_cpu_tries_only_what_should_fit(
    probe: MemoryProbe, monkeypatch: pytest.MonkeyPatch, limit: int, fits: int, tried: list[int]
) -> None:
    seen = needing(lambda rows: 100 + 100 * rows, monkeypatch)
    fitting = probe.largest_by_growth(DIVISORS, limit=limit)
    assert fitting.micro_batch == fits
    assert fitting.needed == 100 + 100 * max(fits, 1)
    assert seen == tried


def test_a_cpu_steps_back_where_more_is_needed_than_was_foreseen(
    probe: MemoryProbe, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = needing(lambda rows: 10 * rows if rows < 3 else 100 * rows, monkeypatch)
    assert probe.largest_by_growth(DIVISORS, limit=450).micro_batch == 4
    assert seen[:3] == [1, 2, 12]
    assert max(seen) == 12


@pytest.mark.parametrize(("rows", "fits"), [(7, 6), (1, 1), (0, 0)])
def test_a_cpu_that_does_have_an_error_is_believed(
    probe: MemoryProbe, monkeypatch: pytest.MonkeyPatch, rows: int, fits: int
) -> None:
    out_of_memory_above(rows, monkeypatch, CPU_ERROR)
    assert probe.largest(DIVISORS).micro_batch == fits


def test_encoder_outputs_are_probed_in_place_of_features(probe: MemoryProbe, sizes: list[int]) -> None:
    probe.model.get_encoder().requires_grad_(False)
    replace(probe, clip_shape=(100, 16), is_encoded=True).step(3)
    assert sizes == [3]


def test_a_share_without_small_divisors_is_tried_too(probe: MemoryProbe, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = needing(lambda rows: rows, monkeypatch)
    assert probe.largest_by_growth([1, 17], limit=100).micro_batch == 17
    assert probe.largest_by_growth([1], limit=100).micro_batch == 1
    assert seen == [1, 2, 17, 1]


def test_the_line_goes_through_the_two_largest_measured_sizes() -> None:
    assert foreseen({1: 100, 2: 150, 8: 450}, 16) == 850


def test_a_real_step_needs_memory_by_its_rows(probe: MemoryProbe) -> None:
    probe.step(1)  # what libraries take at their first use
    few, many = probe.needed_by(16), probe.needed_by(256)
    assert many > 8 * few


def test_a_probe_leaves_no_trace(probe: MemoryProbe, sizes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    before = copy.deepcopy(probe.model.state_dict())
    drawn = random_state(torch.device("cpu"))
    monkeypatch.setattr(memory_probe, "available_bytes", lambda _: 10**12)
    assert probe.largest([1, 2]).micro_batch == 2
    assert sizes == [1, 2]
    assert all(torch.equal(tensor, before[name]) for name, tensor in probe.model.state_dict().items())
    assert all(weight.grad is None for weight in probe.model.parameters())
    assert all(torch.equal(state, drawn[name]) for name, state in random_state(torch.device("cpu")).items())


def test_without_what_is_kept_back_less_fits(probe: MemoryProbe, monkeypatch: pytest.MonkeyPatch) -> None:
    needing(lambda rows: 100 * rows, monkeypatch)
    monkeypatch.setattr(memory_probe, "available_bytes", lambda _: 1_000)
    assert probe.largest([1, 2, 4, 8]).micro_batch == 8  # of 900
    assert replace(probe, reserved_bytes=200).largest([1, 2, 4, 8]).micro_batch == 4


def test_an_optimizer_is_there_with_its_state_before_the_forward_pass(
    probe: MemoryProbe, monkeypatch: pytest.MonkeyPatch
) -> None:
    optimizers: list[torch.optim.Optimizer] = []

    def build(model: nn.Module) -> torch.optim.Optimizer:
        optimizers.append(optimizer_of_run(model, TrainingConfig(), learning_rate=1e-3))
        return optimizers[-1]

    def check(model: WhisperForTraining, *_: object, **__: object) -> None:
        trained = [weight for weight in model.parameters() if weight.requires_grad]
        assert all(weight.grad is not None for weight in trained)
        assert len(optimizers[-1].state) == len(trained)
        raise RuntimeError("seen")

    monkeypatch.setattr(WhisperForTraining, "forward", check)
    with pytest.raises(RuntimeError, match="seen"):
        replace(probe, build_optimizer=build).step(2)
