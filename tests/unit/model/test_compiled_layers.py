"""Compiled encoder layers: the same training bit for bit with few graphs, and none of it outside of training."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import distributed
from torch._dynamo.utils import counters
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from accel_asr.model.adapter_layers import add_adapters
from accel_asr.model.compiled_layers import compile_encoder_layers
from accel_asr.model.gradient_checkpointing import checkpoint_layers
from accel_asr.model.parts import freeze
from accel_asr.model.silence_merging import KeptPositions
from accel_asr.model.whisper_for_training import WhisperForTraining
from accel_asr.training.averages import MovingAverage, lent
from accel_asr.training.launch.sharding import whole_tensor
from tests.refusals import refused

CPU = torch.device("cpu")
Gradients = dict[str, torch.Tensor]


@pytest.fixture(autouse=True)
def fresh_counters() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.fixture
def model(model_and_processor) -> WhisperForTraining:
    return model_and_processor[0].train()


def compiled(model: WhisperForTraining, backend: str = "eager") -> WhisperForTraining:
    """A copy with compiled layers, of the same operations. `aot_eager` makes graphs of the backward pass too."""
    own = copy.deepcopy(model)
    compile_encoder_layers(own, device=CPU, backend=backend)
    counters.clear()
    return own


def graphs() -> int:
    assert not counters["graph_break"]
    return counters["stats"]["unique_graphs"]


def trained_on(model: WhisperForTraining, rows: int, kept: int | None = None) -> tuple[torch.Tensor, Gradients]:
    """Loss and gradients of a batch of noise.

    Args:
        kept: Of the encoder's positions; None is the whole window.
    """
    noise = torch.Generator().manual_seed(100 * rows + (kept or 0))
    features = torch.randn(rows, model.config.num_mel_bins, 2 * model.config.max_source_positions, generator=noise)
    tokens = torch.randint(3, 200, (rows, 5), generator=noise)
    positions = None
    if kept is not None:
        log_counts = torch.randint(1, 5, (rows, kept), generator=noise).log()
        positions = KeptPositions(torch.arange(1, kept + 1).expand(rows, -1), log_counts)
    torch.manual_seed(0)
    model.zero_grad()
    loss = model(
        input_features=features,
        decoder_input_ids=tokens,
        use_cache=False,
        target_positions=torch.arange(tokens.numel()),
        target_labels=tokens.flatten(),
        row_seeds=torch.arange(rows) + 7,
        kept=positions,
    ).loss_sum
    loss.backward()
    gradients = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    return loss.detach(), {name: gradient.clone() for name, gradient in gradients.items()}


def require_equal(first: tuple[torch.Tensor, Gradients], second: tuple[torch.Tensor, Gradients]) -> None:
    assert torch.equal(first[0], second[0])
    assert first[1].keys() == second[1].keys() != set()
    assert all(torch.equal(first[1][name], gradient) for name, gradient in second[1].items())


def test_one_graph_serves_all_layers_and_batches_and_one_more_all_merged_lengths(model: WhisperForTraining) -> None:
    own = compiled(model, "aot_eager")
    assert len(own.get_encoder().layers) > 1
    for rows, kept, so_far in (
        (3, None, 1),
        (2, None, 1),
        (3, 64, 2),
        (2, 32, 2),
        (4, 90, 2),
        (3, 64, 2),
        (5, None, 2),
    ):
        require_equal(trained_on(own, rows, kept), trained_on(model, rows, kept))
        assert graphs() == so_far
    # torch takes one row for a case of its own, lays its gradients out in another way, and so sums in another order
    torch.testing.assert_close(trained_on(own, 1), trained_on(model, 1))
    assert graphs() == 3


def test_the_graph_of_a_batch_does_not_depend_on_those_before_it(model: WhisperForTraining) -> None:
    """Or a resumed run would round otherwise than the unbroken one."""
    seen: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[Any]) -> Any:
        seen.append(graph)
        return graph.forward

    used: list[set[str]] = []
    for batches in ([(3, None), (3, 64)], [(2, 32), (5, 90), (3, 64), (2, None), (3, None)]):
        torch._dynamo.reset()
        seen.clear()
        own = copy.deepcopy(model)
        compile_encoder_layers(own, device=CPU, backend=backend)
        for rows, kept in batches:
            trained_on(own, rows, kept)
        used.append({graph.print_readable(print_output=False) for graph in seen})
    assert used[0] == used[1]


@pytest.mark.parametrize("is_bf16", [False, True])
def test_checkpointed_layers_and_autocast_go_with_it(model: WhisperForTraining, is_bf16: bool) -> None:
    checkpoint_layers(model, "both")
    own = compiled(model, "aot_eager" if is_bf16 else "eager")
    with torch.autocast("cpu", torch.bfloat16, enabled=is_bf16):
        for rows in (3, 2):
            require_equal(trained_on(own, rows), trained_on(model, rows))
    assert graphs() == 1


def test_adapters_have_a_graph_for_the_first_layer_and_one_for_the_others(model: WhisperForTraining) -> None:
    options = {"target_modules": "all-linear", "modules_to_save": [], "base_name": "tiny", "base_revision": None}
    add_adapters(model, seed=1, r=4, lora_alpha=8, lora_dropout=0.3, **options)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if ".lora_B." in name:
                weight.fill_(0.1)
    own = compiled(model)
    for rows in (3, 2):
        require_equal(trained_on(own, rows), trained_on(model, rows))
    assert graphs() == 2  # the input of the first needs no gradient


def test_layers_that_are_frozen_have_a_graph_of_their_own(model: WhisperForTraining) -> None:
    freeze(model, [], encoder_layers=1)
    own = compiled(model)
    for rows in (3, 2):
        require_equal(trained_on(own, rows), trained_on(model, rows))
    assert graphs() == 2


def test_sharded_layers_are_gathered_around_it(model: WhisperForTraining) -> None:
    own = copy.deepcopy(model)
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    try:
        mesh = init_device_mesh("cpu", (1,))
        for part in (*own.get_encoder().layers, *own.get_decoder().layers, own):
            fully_shard(part, mesh=mesh)
        compile_encoder_layers(own, device=CPU, backend="eager")
        counters.clear()
        for rows in (3, 2):
            loss, gradients = trained_on(own, rows)
            expected_loss, expected = trained_on(model, rows)
            assert torch.equal(loss, expected_loss)
            torch.testing.assert_close({name: whole_tensor(gradient) for name, gradient in gradients.items()}, expected)
        assert graphs() == 1
        assert all(isinstance(weight, DTensor) for weight in own.parameters())
    finally:
        distributed.destroy_process_group()


def test_names_of_weights_and_copies_are_as_without_it(model: WhisperForTraining) -> None:
    own = compiled(model)
    assert [*own.state_dict()] == [*model.state_dict()]
    other = copy.deepcopy(own)
    with torch.no_grad():
        other.get_encoder().layers[0].fc1.weight.zero_()
    changed = copy.deepcopy(model)
    changed.load_state_dict(other.state_dict())
    require_equal(trained_on(other, 2), trained_on(changed, 2))
    require_equal(trained_on(own, 2), trained_on(model, 2))


def test_weights_that_change_in_place_are_seen(model: WhisperForTraining) -> None:
    own = compiled(model)
    average = MovingAverage(own, 0.5)
    trained_on(own, 2)
    with torch.no_grad():
        for weights in (own.parameters(), model.parameters()):
            for weight in weights:
                weight.mul_(0.9)
    require_equal(trained_on(own, 2), trained_on(model, 2))
    with lent(own, average.tensors):
        model.load_state_dict(own.state_dict())
        require_equal(trained_on(own, 2), trained_on(model, 2))
    assert graphs() == 1


def test_evaluation_runs_the_layers_as_they_are(model: WhisperForTraining) -> None:
    own, features = compiled(model), torch.randn(2, 80, 2 * model.config.max_source_positions)
    with torch.no_grad():
        expected = model.eval().get_encoder()(features).last_hidden_state
        assert torch.equal(own.eval().get_encoder()(features).last_hidden_state, expected)
    assert graphs() == 0


def test_too_many_graphs_are_said_and_training_goes_on(
    model: WhisperForTraining, capsys: pytest.CaptureFixture[str]
) -> None:
    own = compiled(model)
    with torch._dynamo.config.patch(recompile_limit=1):
        for rows in (3, 1, 3, 1):  # one row is another graph
            require_equal(trained_on(own, rows), trained_on(model, rows))
    said = capsys.readouterr().err
    assert said.count("training.compile") == 1
    assert "uncompiled" in said


def test_what_can_not_be_compiled_is_one_clear_error(model: WhisperForTraining) -> None:
    def without_compiler(*_: object, **__: object) -> None:
        raise RuntimeError("No working C++ compiler found")

    words = ("No working C++ compiler found",)
    with refused("--training.compile", *words, value="encoder_layers", remedy="install a C++ compiler"):
        compile_encoder_layers(model, device=CPU, backend=without_compiler)
