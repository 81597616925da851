"""The moving average of the weights against a sum made by hand, and weights that are lent and put back."""

import pytest
import torch
from torch import nn

from accel_asr.training.averages import MovingAverage, lent


def layer(value: float = 1.0) -> nn.Linear:
    """A layer whose weights, all `value`, are trained, and its bias is not."""
    model = nn.Linear(3, 2)
    nn.init.constant_(model.weight, value)
    model.bias.requires_grad_(requires_grad=False)
    return model


def set_to(model: nn.Linear, value: float) -> None:
    with torch.no_grad():
        model.weight.fill_(value)


@pytest.mark.parametrize("decay", [0.3, 0.999])
def test_the_decay_rises_with_the_updates_up_to_the_one_that_was_asked_for(decay: float) -> None:
    model = layer()
    average = MovingAverage(model, decay)
    expected = 1.0
    for updates, value in enumerate([4.0, -2.0, 7.0, 0.5, 3.0, 11.0]):
        set_to(model, value)
        average.update()
        share = min(decay, (1 + updates) / (10 + updates))  # 0.1, 2/11, 3/12, 4/13, 5/14, 6/15
        expected = share * expected + (1 - share) * value
        torch.testing.assert_close(average.tensors["weight"], torch.full((2, 3), expected))
    assert average.updates == 6


def test_only_trained_weights_are_averaged_and_the_model_is_left_alone() -> None:
    model = layer()
    average = MovingAverage(model, 0.9)
    set_to(model, 4.0)
    average.update()
    assert list(average.tensors) == ["weight"]
    assert torch.equal(model.weight, torch.full((2, 3), 4.0))
    assert not average.tensors["weight"].requires_grad


def test_an_update_that_fp16_skipped_is_no_update() -> None:
    model = layer()
    average = MovingAverage(model, 0.9)
    set_to(model, 4.0)
    average.update(skipped=True)
    assert average.updates == 0
    assert torch.equal(average.tensors["weight"], torch.ones(2, 3))


def test_without_a_decay_it_holds_nothing() -> None:
    average = MovingAverage(layer(), None)
    average.update()
    assert average.tensors == average.state() == {}


def test_an_average_continues_from_its_state_bit_for_bit() -> None:
    model = layer()
    average = MovingAverage(model, 0.9)
    values = torch.randn(10, generator=torch.manual_seed(1)).tolist()
    for value in values[:5]:
        set_to(model, value)
        average.update()
    other_model = layer()
    other = MovingAverage(other_model, 0.9)
    other.load_state({name: tensor.clone() for name, tensor in average.state().items()})
    for value in values[5:]:
        for each, its_average in ((model, average), (other_model, other)):
            set_to(each, value)
            its_average.update()
    assert torch.equal(other.tensors["weight"], average.tensors["weight"])
    assert other.updates == average.updates == 10


@pytest.mark.parametrize("fails", [False, True])
def test_weights_that_are_lent_are_put_back_bit_for_bit_even_after_a_failure(fails: bool) -> None:
    model = layer()
    nn.init.normal_(model.weight, generator=torch.manual_seed(2))
    own, other = model.weight.detach().clone(), torch.full((2, 3), 0.1)
    parameter = model.weight
    try:
        with lent(model, {"weight": other}):
            assert torch.equal(model.weight, torch.full((2, 3), 0.1))
            assert not torch.equal(model.weight, own)
            if fails:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert fails
    assert model.weight is parameter  # the optimizer's
    assert torch.equal(model.weight, own)
    assert torch.equal(other, torch.full((2, 3), 0.1))
