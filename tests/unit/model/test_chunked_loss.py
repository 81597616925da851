"""The loss in chunks beside torch's cross-entropy of all logits: numbers, gradients, precisions, what is not made."""

import math
from collections.abc import Callable

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from accel_asr.model import chunked_loss
from accel_asr.model.chunked_loss import summed_token_loss

TARGETS, WIDTH, VOCABULARY = 10, 16, 50
CHUNKS = {"one chunk": 2**23, "chunks of 4, 4, 2": 4 * VOCABULARY, "one target at a time": 1}


@pytest.fixture(params=CHUNKS)
def _in_chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked_loss, "CHUNK_NUMBERS", CHUNKS[request.param])


@pytest.fixture
def _in_three_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked_loss, "CHUNK_NUMBERS", 4 * VOCABULARY)


def inputs(
    targets: int = TARGETS, *, width: int = WIDTH, vocabulary: int = VOCABULARY
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(hidden states, weight, labels); logits of some units."""
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(targets, width, generator=generator).requires_grad_()
    weight = torch.randn(vocabulary, width, generator=generator).requires_grad_()
    return hidden, weight, torch.randint(0, vocabulary, (targets,), generator=generator)


def plain(
    hidden: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor, *, label_smoothing: float = 0.0
) -> torch.Tensor:
    """The same with all logits at once."""
    logits = F.linear(hidden, weight).float()
    return F.cross_entropy(logits, labels, reduction="sum", label_smoothing=label_smoothing)


def relative(value: torch.Tensor, expected: torch.Tensor) -> float:
    return float((value - expected).norm() / expected.norm())


class Operations(TorchDispatchMode):
    """Counts what is computed within it, and how many numbers the largest result has."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.largest = 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        result = function(*arguments, **(options or {}))
        self.names.append(function.overloadpacket.__name__)
        if isinstance(result, torch.Tensor) and not function.is_view:
            self.largest = max(self.largest, result.numel())
        return result

    @property
    def products(self) -> int:
        return sum(name in ("mm", "addmm_") for name in self.names)


# -- numbers


@pytest.mark.usefixtures("_in_chunks")
def test_loss_and_gradients_are_those_of_all_logits() -> None:
    hidden, weight, labels = inputs()
    loss, expected = summed_token_loss(hidden, weight, labels), plain(hidden, weight, labels)
    assert loss.shape == ()
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)
    # the loss is divided by the window's tokens, and fp16 scales it
    mine = torch.autograd.grad(loss * 3.5, (hidden, weight))
    for gradient, other in zip(mine, torch.autograd.grad(expected * 3.5, (hidden, weight)), strict=True):
        assert relative(gradient, other) < 1e-6


def test_the_loss_is_a_sum() -> None:
    weight = torch.eye(2)
    logits = torch.tensor([[0.0, math.log(3.0)], [5.0, 5.0]])  # probabilities 1/4, 3/4; then even
    loss = summed_token_loss(logits, weight, torch.tensor([0, 1]))
    assert float(loss) == pytest.approx(math.log(4) + math.log(2), rel=1e-6)


def test_logits_far_apart_have_a_finite_loss() -> None:
    hidden = torch.tensor([[1000.0, 0.0]], requires_grad=True)
    loss = summed_token_loss(hidden, torch.eye(2), torch.tensor([1]))
    loss.backward()
    assert float(loss.detach()) == 1000
    assert hidden.grad.tolist() == [[1, -1]]


@pytest.mark.usefixtures("_in_three_chunks")
def test_two_micro_batches_add_their_gradients() -> None:
    hidden, weight, labels = inputs()
    halves = [slice(0, 7), slice(7, 10)]
    losses = [summed_token_loss(hidden[half], weight, labels[half]) for half in halves]  # both before going back
    for loss in losses:
        (loss / TARGETS).backward()
    expected = torch.autograd.grad(plain(hidden, weight, labels) / TARGETS, (hidden, weight))
    assert relative(hidden.grad, expected[0]) < 1e-6
    assert relative(weight.grad, expected[1]) < 1e-6


def test_the_weight_may_be_used_elsewhere_too() -> None:
    _, weight, labels = inputs()
    first = labels.flip(0)
    summed_token_loss(F.embedding(first, weight), weight, labels).backward()  # as Whisper's is, tied to the embedding
    [expected] = torch.autograd.grad(plain(F.embedding(first, weight), weight, labels), weight)
    assert relative(weight.grad, expected) < 1e-6


def test_a_second_backward_pass_is_refused() -> None:
    # the gradients were multiplied in place
    loss = summed_token_loss(*inputs())
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_no_targets_have_a_loss_of_nothing_and_gradients() -> None:
    hidden, weight, labels = inputs(0)
    loss = summed_token_loss(hidden, weight, labels)
    loss.backward()
    assert (float(loss.detach()), loss.dtype) == (0, torch.float32)
    assert hidden.grad.shape == (0, WIDTH)
    assert weight.grad.shape == (VOCABULARY, WIDTH)
    assert not weight.grad.any()


# -- label smoothing

SMOOTHING = [0.1, 0.5, 1.0]


@pytest.mark.usefixtures("_in_chunks")
@pytest.mark.parametrize("label_smoothing", SMOOTHING)
def test_smoothed_loss_and_gradients_are_torchs(label_smoothing: float) -> None:
    tensors = inputs()
    loss = summed_token_loss(*tensors, label_smoothing=label_smoothing)
    expected = plain(*tensors, label_smoothing=label_smoothing)
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)
    assert abs(float(loss.detach() - plain(*tensors).detach())) > 0.5
    mine = torch.autograd.grad(loss * 3.5, tensors[:2])
    for gradient, other in zip(mine, torch.autograd.grad(expected * 3.5, tensors[:2]), strict=True):
        assert relative(gradient, other) < 1e-6


@pytest.mark.usefixtures("_in_three_chunks")
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 1e-2), (torch.float16, 2e-3)])
def test_smoothing_holds_in_half_precision(dtype: torch.dtype, tolerance: float) -> None:
    hidden, weight, labels = inputs(width=64)
    with torch.autocast("cpu", dtype=dtype):
        loss = summed_token_loss(hidden, weight, labels, label_smoothing=0.1)
        expected = plain(hidden, weight, labels, label_smoothing=0.1)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=0)
    mine = torch.autograd.grad(loss, (hidden, weight))
    for gradient, other in zip(mine, torch.autograd.grad(expected, (hidden, weight)), strict=True):
        assert relative(gradient, other) < tolerance


def test_smoothing_pulls_improbable_tokens_up_even_in_fp16() -> None:
    """Over Whisper's vocabulary a token has 2e-6 of the smoothed target, which fp16 rounds by up to 2%."""
    hidden, weight, labels = inputs(4, vocabulary=51_865)
    tensors = (hidden * 5).detach().requires_grad_(), weight
    with torch.autocast("cpu", dtype=torch.float16):
        loss = summed_token_loss(*tensors, labels, label_smoothing=0.1)
        expected = plain(*tensors, labels, label_smoothing=0.1)
    for gradient, other in zip(
        torch.autograd.grad(loss, tensors), torch.autograd.grad(expected * 2.0**10, tensors), strict=True
    ):
        assert relative(gradient, other / 2.0**10) < 2e-3


def test_without_smoothing_nothing_is_rounded_otherwise() -> None:
    hidden, weight, labels = inputs()
    with Operations() as plainly:
        expected = torch.autograd.grad(summed_token_loss(hidden, weight, labels), (hidden, weight))
    with Operations() as unsmoothed:
        same = torch.autograd.grad(summed_token_loss(hidden, weight, labels, label_smoothing=0.0), (hidden, weight))
    assert plainly.names == unsmoothed.names
    assert "mean" not in unsmoothed.names
    assert all(torch.equal(mine, other) for mine, other in zip(same, expected, strict=True))


# -- what is not made


def test_the_logits_of_all_targets_are_never_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked_loss, "CHUNK_NUMBERS", 10 * VOCABULARY)
    hidden, weight, labels = inputs(100)
    with Operations() as operations:
        summed_token_loss(hidden, weight, labels).backward()
    assert operations.products == 3 * 10  # logits and two gradients, of ten chunks
    assert operations.largest == max(
        100 * WIDTH, VOCABULARY * WIDTH
    )  # the states, the weight, and not 100 * VOCABULARY
    with Operations() as operations:
        plain(hidden, weight, labels).backward()
    assert operations.largest == 100 * VOCABULARY


@pytest.mark.parametrize(("device", "chunks"), [("cpu", 4), ("cuda", 1)])
def test_a_gpu_gets_the_targets_of_a_micro_batch_in_one_chunk(
    monkeypatch: pytest.MonkeyPatch, device: str, chunks: int
) -> None:
    numbers = chunked_loss.chunk_numbers(device)
    monkeypatch.setattr(chunked_loss, "chunk_numbers", lambda _: numbers)
    with FakeTensorMode(), torch.no_grad(), Operations() as operations:
        summed_token_loss(torch.empty(640, 8), torch.empty(51_865, 8), torch.zeros(640, dtype=torch.long))
    assert operations.products == chunks


@pytest.mark.parametrize(("frozen", "products"), [(0, 2), (1, 2), (None, 3)])
def test_a_gradient_that_nobody_asks_for_is_not_made(frozen: int | None, products: int) -> None:
    tensors = inputs()
    if frozen is not None:
        tensors[frozen].requires_grad_(False)
    with Operations() as operations:
        loss = summed_token_loss(*tensors)
        loss.backward()
    assert operations.products == products
    assert [tensor.grad is not None for tensor in tensors[:2]] == [frozen != 0, frozen != 1]
    for tensor in tensors[:2]:
        if tensor.requires_grad:
            [expected] = torch.autograd.grad(plain(*tensors), tensor)
            assert relative(tensor.grad, expected) < 1e-6


def test_without_gradients_only_the_loss_is_made() -> None:
    with torch.no_grad(), Operations() as operations:
        loss = summed_token_loss(*inputs())
    assert operations.products == 1
    assert not loss.requires_grad
    torch.testing.assert_close(loss, plain(*inputs()).detach(), rtol=1e-6, atol=0)


@pytest.mark.usefixtures("_in_three_chunks")
def test_the_device_is_never_waited_for() -> None:
    with FakeTensorMode():  # tensors without numbers: whatever had to read one would fail
        hidden, weight = torch.empty(TARGETS, WIDTH).requires_grad_(), torch.empty(VOCABULARY, WIDTH).requires_grad_()
        summed_token_loss(hidden, weight, torch.empty(TARGETS, dtype=torch.long)).backward()
    assert (hidden.grad.shape, weight.grad.shape) == (hidden.shape, weight.shape)


# -- precision


@pytest.mark.usefixtures("_in_three_chunks")
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 1e-2), (torch.float16, 2e-3)])
def test_autocast_makes_logits_in_half_precision_and_the_loss_in_fp32(dtype: torch.dtype, tolerance: float) -> None:
    hidden, weight, labels = inputs(width=64)
    with torch.autocast("cpu", dtype=dtype):
        loss, expected = summed_token_loss(hidden, weight, labels), plain(hidden, weight, labels)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=0)  # of the same rounded logits
    assert relative(loss.detach(), plain(hidden, weight, labels).detach()) > 1e-5  # they are rounded
    mine = torch.autograd.grad(loss, (hidden, weight))
    for gradient, other in zip(mine, torch.autograd.grad(expected, (hidden, weight)), strict=True):
        assert gradient.dtype == torch.float32
        assert relative(gradient, other) < tolerance


def test_the_loss_of_many_targets_in_bf16_is_summed_in_fp32() -> None:
    hidden = torch.full((4096, 8), 1.0, dtype=torch.bfloat16)
    loss = summed_token_loss(hidden, torch.ones(3, 8, dtype=torch.bfloat16), torch.zeros(4096, dtype=torch.long))
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(4096 * math.log(3), rel=1e-5)  # bf16 would be off by up to 0.4%


@pytest.mark.usefixtures("_in_three_chunks")
def test_weights_in_bf16_have_gradients_in_bf16() -> None:
    # as FSDP2 keeps them within a forward pass
    hidden, weight, labels = inputs()
    halves = [tensor.detach().bfloat16().requires_grad_() for tensor in (hidden, weight)]
    summed_token_loss(*halves, labels).backward()
    for half, expected in zip(
        halves, torch.autograd.grad(plain(hidden, weight, labels), (hidden, weight)), strict=True
    ):
        assert half.grad.dtype == torch.bfloat16
        assert relative(half.grad.float(), expected) < 2e-2


def test_small_gradients_survive_fp16_as_they_do_when_the_loss_is_scaled() -> None:
    """All tokens but one are improbable: 3e-9 each, where fp16 rounds to nothing what is below 3e-8."""
    hidden = torch.zeros(1, WIDTH)
    hidden[0, 0] = 1.0
    weight = torch.zeros(VOCABULARY, WIDTH)
    weight[0, 0] = -math.log(3e-9)
    weight.requires_grad_()
    labels = torch.tensor([0])
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16)

    def gradient(loss_of: Callable[..., torch.Tensor]) -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.float16):
            loss = loss_of(hidden, weight, labels)
        [scaled] = torch.autograd.grad(scaler.scale(loss), weight)
        return scaled[1:, 0] / 2.0**16

    mine = gradient(summed_token_loss)
    assert mine.tolist() == pytest.approx([3e-9] * (VOCABULARY - 1), rel=1e-2)
    assert mine.tolist() == pytest.approx(gradient(plain).tolist(), rel=1e-2)


def test_a_scale_that_is_too_high_is_seen() -> None:
    # a GradScaler looks for it, and lowers its scale
    hidden, weight, labels = inputs()
    half = hidden.detach().half().requires_grad_()
    with torch.autocast("cpu", dtype=torch.float16):
        loss = summed_token_loss(half, weight, labels)
    (loss * 2.0**24).backward()
    assert not half.grad.isfinite().all()
