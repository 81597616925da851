"""Optimizers by name: what each is over which weights, what its state takes, and that each learns."""

import copy
import logging
from importlib.util import find_spec
from types import SimpleNamespace
from typing import get_args

import pytest
import torch
from accelerate.utils import DistributedType

from accel_asr.config.cross_checks import check_config
from accel_asr.config.settings import Config, DataConfig
from accel_asr.config.training_settings import OptimizerName, TrainingConfig
from accel_asr.console.bars import quiet_library_imports
from accel_asr.data.loading.clip_items import ClipItems
from accel_asr.model.parts import freeze
from accel_asr.model.pretrained import load_model_and_processor
from accel_asr.model.whisper_for_training import WhisperForTraining
from accel_asr.training.launch.sharding import require_shardable_optimizer
from accel_asr.training.optimizers import WHOLE_STATES, MuonAndAdamW, build_optimizer, state_bytes
from accel_asr.training.schedule import set_learning_rate
from accel_asr.training.step import train_step
from tests.refusals import refused
from tests.tiny_models import make_tiny_whisper

NAMES = get_args(OptimizerName)
OTHERS = NAMES[1:]


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> WhisperForTraining:
    """A Whisper whose layers are large enough for states of 8 bits."""
    folder = make_tiny_whisper(tmp_path_factory.mktemp("wide"), max_source_positions=100, width=64, layers=1)
    return load_model_and_processor(str(folder))[0]


@pytest.fixture
def model(wide: WhisperForTraining) -> WhisperForTraining:
    return copy.deepcopy(wide).train()


def build(model: WhisperForTraining, optim: str, *, weight_decay: float = 0.0) -> torch.optim.Optimizer:
    return build_optimizer(model, learning_rate=1e-3, weight_decay=weight_decay, optim=optim)


def names_by_group(model: WhisperForTraining, optimizer: torch.optim.Optimizer) -> dict[str, dict]:
    groups = {id(weight): group for group in optimizer.param_groups for weight in group["params"]}
    return {name: groups[id(weight)] for name, weight in model.named_parameters() if id(weight) in groups}


@pytest.mark.parametrize("optim", NAMES)
def test_it_learns_on_the_learning_rate_of_adamw(model, collator, accelerator, clip_items: ClipItems, optim) -> None:
    optimizer = build(model, optim)
    _, prepared = accelerator.prepare(model, optimizer)
    window = [collator([clip_items[0, row] for row in rows]) for rows in ((0, 1), (2, 3))]
    losses = [train_step(model, prepared, window, accelerator=accelerator, max_grad_norm=1.0).loss for _ in range(25)]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("optim", NAMES)
def test_the_bytes_that_are_foretold_are_those_of_the_state(model, collator, clip_items: ClipItems, optim) -> None:
    optimizer = build(model, optim)
    for weight in model.parameters():
        weight.grad = torch.ones_like(weight) if weight.requires_grad else None
    optimizer.step()
    held = [value for state in optimizer.state.values() for value in state.values() if isinstance(value, torch.Tensor)]
    assert state_bytes(model, optim) == pytest.approx(sum({v.data_ptr(): v.nbytes for v in held}.values()), rel=0.05)
    whole = {key for state in optimizer.state.values() for key in state} - {"step"}
    assert WHOLE_STATES.get(optim, ()) == (("exp_avg", "exp_avg_sq") if optim == NAMES[0] else ())
    assert optim != NAMES[0] or whole == set(WHOLE_STATES[optim])


def test_smaller_states_are_smaller(model) -> None:
    sizes = {optim: state_bytes(model, optim) for optim in NAMES}
    assert sizes["adafactor"] < sizes["adamw_8bit"] < sizes["adamw_torch_fused"]
    assert sizes["muon"] < sizes["adamw_torch_fused"]


@pytest.mark.parametrize("optim", NAMES)
def test_decay_and_frozen_weights_are_those_of_adamw(model, optim: str) -> None:
    freeze(model, ["encoder"])
    groups = names_by_group(model, build(model, optim, weight_decay=0.1))
    assert set(groups) == {name for name, weight in model.named_parameters() if weight.requires_grad}
    for name, group in groups.items():
        assert group["weight_decay"] == (0.0 if name.endswith(".bias") or "layer_norm" in name else 0.1), name


@pytest.mark.parametrize("optim", NAMES)
def test_the_learning_rate_of_a_step_is_what_the_update_uses(model, optim: str) -> None:
    optimizer = build(model, optim)
    set_learning_rate(optimizer, 0.0)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    for weight in model.parameters():
        weight.grad = torch.ones_like(weight) if weight.requires_grad else None
    optimizer.step()
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters())


def test_muon_has_the_linear_layers_and_adamw_everything_else(model) -> None:
    optimizer = build(model, "muon")
    assert isinstance(optimizer, MuonAndAdamW)
    for weight in model.parameters():
        weight.grad = torch.randn_like(weight) if weight.requires_grad else None
    optimizer.step()
    for name, weight in model.named_parameters():
        is_linear = name.endswith(".weight") and ("_proj" in name or ".fc" in name)
        assert set(optimizer.state.get(weight, ())) == (
            set()
            if not weight.requires_grad
            else {"momentum_buffer"}
            if is_linear
            else {"step", "exp_avg", "exp_avg_sq"}
        ), name


def test_a_step_of_muon_is_as_large_as_one_of_adamw(model) -> None:
    """AdamW's first step moves each weight by the learning rate; later ones by about 0.2 of it, which Muon keeps to."""
    optimizer = build(model, "muon")
    layer = model.get_encoder().layers[0].fc1.weight
    before = layer.detach().clone()
    layer.grad = torch.randn(layer.shape, generator=torch.Generator().manual_seed(0))
    optimizer.step()
    assert float((layer.detach() - before).square().mean().sqrt()) == pytest.approx(0.2 * 1e-3, rel=0.3)


def test_8bit_states_are_of_all_large_layers_but_embeddings(model) -> None:
    optimizer = build(model, "adamw_8bit")
    for weight in model.parameters():
        weight.grad = torch.ones_like(weight) if weight.requires_grad else None
    optimizer.step()
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            is_small = weight.numel() < 4096 or "embed_" in name
            assert optimizer.state[weight]["state1"].dtype == (torch.float32 if is_small else torch.uint8), name


@pytest.mark.parametrize("optim", OTHERS)
@pytest.mark.parametrize("scale", [1.0, 1e38], ids=["scale that fits", "scale that overflows"])
def test_an_fp16_update_that_overflows_is_left_out(model, collator, accelerator, clip_items, optim, scale) -> None:
    """The scaler of a GPU, on a CPU; an optimizer that is not fused is not called then."""
    accelerator.state._mixed_precision, accelerator.native_amp = "fp16", True
    accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    before = copy.deepcopy(model.state_dict())
    _, prepared = accelerator.prepare(model, build(model, optim))
    batch = collator([clip_items[0, row] for row in range(3)])
    result = train_step(model, prepared, [batch], accelerator=accelerator, max_grad_norm=1.0)
    unchanged = all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    overflows = scale > 1.0
    assert (result.skipped, unchanged) == (overflows, overflows)
    assert accelerator.scaler.get_scale() == pytest.approx(scale / 2 if overflows else scale)


@pytest.mark.parametrize("optim", OTHERS)
def test_fsdp_shards_adamw_only(optim: str) -> None:
    sharded = SimpleNamespace(distributed_type=DistributedType.FSDP)
    require_shardable_optimizer(sharded, NAMES[0])
    require_shardable_optimizer(SimpleNamespace(distributed_type=DistributedType.MULTI_GPU), optim)
    with refused("--training.optim", "FSDP", value=optim, remedy="adamw_torch_fused"):
        require_shardable_optimizer(sharded, optim)


def test_8bit_without_bitsandbytes_is_refused_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config(data=DataConfig(name_or_path="x", eval_rows=3), training=TrainingConfig(optim="adamw_8bit"))
    check_config(config)
    monkeypatch.setattr(
        "accel_asr.config.cross_checks.find_spec", lambda name: None if name == "bitsandbytes" else find_spec(name)
    )
    with refused("--training.optim", "bitsandbytes", value="adamw_8bit", remedy="pip install 'accel-asr[optim8bit]'"):
        check_config(config)


def test_bitsandbytes_says_nothing_of_kernels_that_are_not_used(caplog: pytest.LogCaptureFixture) -> None:
    quiet_library_imports()
    logging.getLogger("bitsandbytes.backends.cpu.ops").warning("Failed to load CPU gemm_4bit_forward")
    assert not caplog.records
