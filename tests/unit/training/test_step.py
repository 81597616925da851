"""One update: the same whatever the window is split into, and none at all when a number is not a number."""

import copy
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate.optimizer import AcceleratedOptimizer

from accel_asr.audio.log_mel import log_mel
from accel_asr.data.loading.clip_items import ClipItems
from accel_asr.data.loading.collator import IGNORED_LABEL
from accel_asr.data.loading.items import FailedItem, Item
from accel_asr.errors import UserError
from accel_asr.model.parts import freeze
from accel_asr.training.optimizers import ADAMW, build_optimizer
from accel_asr.training.schedule import set_learning_rate
from accel_asr.training.started_step import NonFiniteError, StartedStep, StepResult
from accel_asr.training.step import start_step, train_step


@pytest.fixture
def model(model_and_processor):
    return model_and_processor[0].train()


@pytest.fixture
def items(clip_items: ClipItems) -> list[Item]:
    """Eight items with labels of 10 to 18 targets."""
    made = with_features([clip_items[0, row] for row in range(7)], clip_items)
    return [*made, Item("clip-7", made[0].duration_s, made[0].clip[:, ::-1].copy(), made[1].token_ids)]


def with_features(items: list[Item], clip_items: ClipItems) -> list[Item]:
    """The same with features in place of samples."""
    return [replace(item, clip=log_mel(item.clip, clip_items.feature_extractor)) for item in items]


def trained(model: torch.nn.Module) -> list[tuple[str, torch.nn.Parameter]]:
    """Every weight but the encoder's sinusoids, which stay fixed."""
    return [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]


@pytest.fixture
def step(model, collator, accelerator):
    """`step(items, micro_batch, ...)`: one train_step from the same weights; its result, and the gradient it used."""
    start = copy.deepcopy(model.state_dict())

    def run(
        items: list[Item], micro_batch: int, *, max_grad_norm: float = 0.0, empty: int = 0
    ) -> tuple[StepResult, dict[str, torch.Tensor]]:
        model.load_state_dict(start)
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        used = {}
        optimizer.register_step_pre_hook(
            lambda *_: used.update({name: weight.grad.clone() for name, weight in trained(model)})
        )
        _, prepared = accelerator.prepare(model, optimizer)
        window = [collator(items[first : first + micro_batch]) for first in range(0, len(items), micro_batch)]
        window += [collator([]) for _ in range(empty)]
        return train_step(model, prepared, window, accelerator=accelerator, max_grad_norm=max_grad_norm), used

    return run


def reference(model, items: list[Item]) -> tuple[float, dict[str, torch.Tensor]]:
    """Plain torch, clip by clip without padding, in float64: (sum of the token losses / tokens, its gradient)."""
    exact = copy.deepcopy(model).double()
    total, tokens = torch.zeros((), dtype=torch.float64), 0
    for item in items:
        ids = torch.tensor(item.token_ids)
        features = torch.from_numpy(item.clip).double()[None]
        logits = exact(input_features=features, decoder_input_ids=ids[None, :-1]).logits[0]
        total = total - logits.log_softmax(dim=-1)[torch.arange(len(ids) - 1), ids[1:]].sum()
        tokens += len(ids) - 1
    (total / tokens).backward()
    return float(total.detach()) / tokens, {name: weight.grad for name, weight in trained(exact)}


def norm(gradient: dict[str, torch.Tensor]) -> float:
    return math.sqrt(sum(float(tensor.double().square().sum()) for tensor in gradient.values()))


@pytest.mark.parametrize("micro_batch", [8, 4, 3, 1])
def test_loss_and_gradient_are_those_of_the_whole_window_however_it_is_split(
    step, model, items: list[Item], micro_batch: int
) -> None:
    expected_loss, expected = reference(model, items)
    result, used = step(items, micro_batch)
    assert result.loss == pytest.approx(expected_loss, rel=1e-6)  # 1e-7 seen
    assert result.grad_norm == pytest.approx(norm(expected), rel=1e-6)  # 4e-8 seen
    difference = {name: used[name].double() - expected[name] for name in expected}
    assert norm(difference) < 2e-6 * norm(expected)  # 5.5e-7 seen
    assert result.target_tokens == sum(len(item.token_ids) - 1 for item in items)
    assert result.audio_s == pytest.approx(sum(item.duration_s for item in items))
    assert result.skipped is False


def test_packed_windows_are_weighed_by_their_tokens(step, model, clip_items: ClipItems) -> None:
    packs = clip_items.of([(0, (3, 1)), (0, (0,)), (0, (4, 6)), (0, (5,)), (0, (2,))])
    packs = with_features(packs, clip_items)
    expected_loss, expected = reference(model, packs)
    result, used = step(packs, 2)
    assert result.loss == pytest.approx(expected_loss, rel=1e-6)
    difference = {name: used[name].double() - expected[name] for name in expected}
    assert norm(difference) < 2e-6 * norm(expected)
    assert result.target_tokens == sum(len(item.token_ids) - 1 for item in packs)
    assert result.audio_s == pytest.approx(sum(utterance.duration_s for utterance in clip_items.utterances))


def test_a_mean_of_micro_batch_means_would_be_another_number(model, items: list[Item]) -> None:
    whole, _ = reference(model, items)
    means = [reference(model, items[first : first + 4])[0] for first in (0, 4)]
    assert abs(sum(means) / 2 - whole) > 1e-3  # so the test above can tell them apart


def test_empty_micro_batches_change_nothing(step, items: list[Item]) -> None:
    result, used = step(items[:5], 2, empty=1)
    expected_result, expected = step(items[:5], 5)
    assert result.loss == pytest.approx(expected_result.loss, rel=1e-6)
    assert result.target_tokens == expected_result.target_tokens
    assert norm({name: used[name] - expected[name] for name in used}) < 1e-6 * norm(expected)


def test_a_window_is_weighed_by_the_clips_that_could_be_decoded(step, collator, items: list[Item]) -> None:
    gone = FailedItem("clip-2", "the file can't be reached")
    plain, expected = step([*items[:2], *items[3:5]], 2)
    result, used = step([*items[:2], gone, *items[3:5]], 3)
    assert result.failed == (gone,)
    assert plain.failed == ()
    assert result.loss == pytest.approx(plain.loss, rel=1e-6)
    assert (result.target_tokens, result.audio_s) == (plain.target_tokens, plain.audio_s)
    assert norm({name: used[name] - expected[name] for name in used}) < 1e-6 * norm(expected)


def test_a_window_of_which_nothing_could_be_decoded_ends_the_run_and_the_weights_stay(step, model) -> None:
    before = copy.deepcopy(model.state_dict())
    gone = [FailedItem(f"clip-{number}", "the file can't be reached") for number in range(25)]
    with pytest.raises(UserError) as caught:
        step(gone, 13)
    first, *named = caught.value.problem.splitlines()
    assert "none of the 25 recordings" in first
    assert named == [f"  clip-{number}: the file can't be reached" for number in range(20)]
    assert "--checkpoint.resume true" in str(caught.value.remedy)
    assert caught.value.same_on_every_rank
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_gradient_is_clipped_to_its_norm_and_reported_before(step, items: list[Item]) -> None:
    plain, unclipped = step(items, 4)
    limit = plain.grad_norm / 10
    clipped, used = step(items, 4, max_grad_norm=limit)
    assert clipped.grad_norm == pytest.approx(plain.grad_norm, rel=1e-6)
    assert norm(used) == pytest.approx(limit, rel=1e-4)
    for name, gradient in unclipped.items():
        torch.testing.assert_close(used[name] * 10, gradient, rtol=1e-4, atol=1e-7)
    _, untouched = step(items, 4, max_grad_norm=plain.grad_norm * 2)
    assert norm(untouched) == pytest.approx(plain.grad_norm, rel=1e-6)


def test_no_gradient_is_left_for_the_next_step(step, model, items: list[Item]) -> None:
    step(items, 4)
    assert all(weight.grad is None for weight in model.parameters())


# -- numbers that are not numbers


def spoiled(items: list[Item], name: str, value: float) -> list[Item]:
    changed = []
    for item in items:
        features = item.clip.copy()
        if item.utterance_id == name:
            features[3, 7] = value
        changed.append(Item(item.utterance_id, item.duration_s, features, item.token_ids))
    return changed


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(("micro_batch", "named"), [(1, "clip-5"), (2, "clip-4, clip-5")])
def test_a_bad_clip_is_named_and_the_weights_stay(
    step, model, items: list[Item], value: float, micro_batch: int, named: str
) -> None:
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(NonFiniteError) as caught:
        step(spoiled(items, "clip-5", value), micro_batch)
    assert str(caught.value).endswith(f"the utterances of the batch: {named}")
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(weight.grad is None for weight in model.parameters())


def test_a_gradient_that_overflows_stops_before_the_update(step, model, items: list[Item]) -> None:
    before = copy.deepcopy(model.state_dict())
    weight = model.model.decoder.layers[0].fc1.weight
    handle = weight.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(NonFiniteError, match=r"gradient norm (inf|nan); .*: clip-0, clip-1, clip-2"):
        step(items[:3], 3)
    handle.remove()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.fixture
def starting(model, collator, accelerator):
    """`starting(optim)`: (a function that starts a step on items, the optimizer of that name which it steps)."""

    def of(optim: str = ADAMW) -> tuple[Callable[..., StartedStep], AcceleratedOptimizer]:
        optimizer = build_optimizer(model, learning_rate=1e-2, weight_decay=0.1, optim=optim)
        _, optimizer = accelerator.prepare(model, optimizer)

        def start(items: list[Item], before: StartedStep | None = None) -> StartedStep:
            window = [collator(items)]
            return start_step(model, optimizer, window, accelerator=accelerator, max_grad_norm=1.0, before=before)

        return start, optimizer

    return of


def state_of(model: torch.nn.Module, optimizer: AcceleratedOptimizer) -> list[torch.Tensor]:
    states = [value for state in optimizer.state.values() for value in state.values()]
    return [tensor.clone() for tensor in (*model.state_dict().values(), *states)]


def test_after_a_step_that_failed_nothing_changes_until_it_is_read(starting, model, items: list[Item]) -> None:
    start, optimizer = starting()
    start(items[:4])
    expected = state_of(model, optimizer)
    failed = start(spoiled(items, "clip-5", np.nan)[4:])
    following = start(items[:4], before=failed)
    following = start(items[2:6], before=following)
    assert not following.is_read  # the host has waited for none
    assert all(map(torch.equal, state_of(model, optimizer), expected))
    with pytest.raises(NonFiniteError, match=r"loss nan, .*: clip-4, clip-5, clip-6, clip-7$"):
        failed.result()
    assert math.isfinite(start(items[:4]).result().loss)  # as if it had not been
    assert not torch.equal(state_of(model, optimizer)[-1], expected[-1])


def test_the_update_is_the_same_whether_the_host_waits_before_it_or_not(
    starting, model, items: list[Item], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, states = copy.deepcopy(model.state_dict()), []
    for devices in (("cpu",), ()):
        monkeypatch.setattr("accel_asr.training.step.DEVICES_THAT_STOP", devices)
        model.load_state_dict(begin)
        start, optimizer = starting()
        steps = [start(items[first : first + 4]) for first in range(4)]
        assert [step.is_read for step in steps] == 4 * [not devices]
        states.append(state_of(model, optimizer))
    assert all(map(torch.equal, *states))


@pytest.mark.parametrize("optim", [ADAMW, "adamw_8bit", "adafactor", "muon"])
def test_no_optimizer_sees_what_is_not_finite(starting, model, items: list[Item], optim: str) -> None:
    before = copy.deepcopy(model.state_dict())
    start, optimizer = starting(optim)
    with pytest.raises(NonFiniteError, match=r"of the batch: clip-4, clip-5$"):
        start(spoiled(items, "clip-5", np.inf)[4:6]).result()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert optim == ADAMW or not optimizer.state


# -- label smoothing


def test_smoothing_is_in_the_loss_and_the_gradient_of_a_window(model, collator, accelerator, items) -> None:
    """However it is split, against torch's own on the logits of the whole window."""
    weights = [weight for _, weight in trained(model)]
    [whole] = [collator(items).to(accelerator.device)]
    logits = model(input_features=whole.input_features, decoder_input_ids=whole.decoder_input_ids).logits
    expected = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), whole.labels.flatten(), ignore_index=IGNORED_LABEL, label_smoothing=0.2
    )
    gradients = torch.autograd.grad(expected, weights)
    used: list[torch.Tensor] = []
    optimizer = torch.optim.SGD(weights, lr=0.0)
    optimizer.register_step_pre_hook(lambda *_: used.extend(weight.grad.clone() for weight in weights))
    prepared, optimizer = accelerator.prepare(model, optimizer)
    window = [collator(items[:3]), collator(items[3:])]
    result = train_step(prepared, optimizer, window, accelerator=accelerator, max_grad_norm=0.0, label_smoothing=0.2)
    assert result.loss == pytest.approx(float(expected.detach()), rel=1e-5)
    for mine, other in zip(used, gradients, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)


# -- fp16


@pytest.mark.parametrize("scale", [1.0, 1e38], ids=["scale that fits", "scale that overflows"])
def test_an_fp16_update_that_overflows_is_left_out_and_said(model, collator, accelerator, items, scale: float) -> None:
    """The scaler of a GPU, on a CPU: what matters is that our fused optimizer and it agree about what happened."""
    accelerator.state._mixed_precision, accelerator.native_amp = "fp16", True
    accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    optimizer = build_optimizer(model, learning_rate=1e-3, weight_decay=0.0)
    before = copy.deepcopy(model.state_dict())
    _, prepared = accelerator.prepare(model, optimizer)
    result = train_step(model, prepared, [collator(items[:3])], accelerator=accelerator, max_grad_norm=1.0)
    unchanged = all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    overflows = scale > 1.0
    assert (result.skipped, unchanged) == (overflows, overflows)
    assert accelerator.scaler.get_scale() == pytest.approx(scale / 2 if overflows else scale)


# -- the optimizer


def test_biases_and_norms_are_not_decayed(model) -> None:
    optimizer = build_optimizer(model, learning_rate=1e-3, weight_decay=0.1)
    decayed = {id(weight): group["weight_decay"] for group in optimizer.param_groups for weight in group["params"]}
    assert len(decayed) == len(trained(model)) == sum(len(group["params"]) for group in optimizer.param_groups)
    for name, weight in trained(model):
        exempt = name.endswith(".bias") or "layer_norm" in name
        assert decayed[id(weight)] == (0.0 if exempt else 0.1), name


def test_decay_shrinks_weights_without_a_gradient_by_rate_times_decay(model) -> None:
    optimizer = build_optimizer(model, learning_rate=0.1, weight_decay=0.5)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    after = dict(model.named_parameters())
    matrix, bias = "model.decoder.layers.0.fc1.weight", "model.decoder.layers.0.fc1.bias"
    torch.testing.assert_close(after[matrix].detach(), before[matrix] * (1 - 0.1 * 0.5))
    assert torch.equal(after[bias], before[bias])


def test_without_multipliers_there_are_two_groups_matrices_first(model) -> None:
    groups = build_optimizer(model, learning_rate=1e-3, weight_decay=0.1).param_groups
    matrices = [id(weight) for _, weight in trained(model) if weight.ndim > 1]
    assert [id(weight) for weight in groups[0]["params"]] == matrices
    assert [(group["weight_decay"], group["rate_multiplier"]) for group in groups] == [(0.1, 1.0), (0.0, 1.0)]


def test_each_part_moves_at_its_own_rate(model) -> None:
    optimizer = build_optimizer(
        model, learning_rate=1e-3, weight_decay=0.0, rate_multipliers={"encoder": 0.5, "embeddings": 0.0}
    )
    set_learning_rate(optimizer, 0.01)
    before = {name: weight.detach().clone() for name, weight in trained(model)}
    for _, weight in trained(model):
        weight.grad = torch.ones_like(weight)
    optimizer.step()  # Adam's first step is its learning rate, whatever the gradient's size
    expected = {"encoder": 0.005, "embed_tokens": 0.0, "embed_positions": 0.0}
    for name, weight in trained(model):
        rate = next((rate for part, rate in expected.items() if part in name.split(".")), 0.01)
        torch.testing.assert_close(before[name] - weight.detach(), torch.full_like(weight, rate), atol=1e-7, rtol=1e-4)


def test_the_decoders_multiplier_holds_for_its_embeddings(model) -> None:
    groups = build_optimizer(
        model, learning_rate=1e-3, weight_decay=0.0, rate_multipliers={"decoder": 0.1}
    ).param_groups
    factors = {id(weight): group["rate_multiplier"] for group in groups for weight in group["params"]}
    for name, weight in trained(model):
        assert factors[id(weight)] == (1.0 if name.startswith("model.encoder.") else 0.1), name


def test_a_frozen_encoder_is_not_in_the_optimizer(model) -> None:
    freeze(model, ["encoder"])
    optimizer = build_optimizer(model, learning_rate=1e-3, weight_decay=0.0)
    held = {id(weight) for group in optimizer.param_groups for weight in group["params"]}
    assert held == {id(weight) for weight in model.model.decoder.parameters()}


def test_adam_is_fused_for_fp32_and_not_where_it_can_not_be(model) -> None:
    assert build_optimizer(model, learning_rate=1e-3, weight_decay=0.0).defaults["fused"] is True
    assert build_optimizer(model.bfloat16(), learning_rate=1e-3, weight_decay=0.0).defaults["fused"] is False
