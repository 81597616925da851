"""Which kernels of scaled-dot-product attention take a weight for each key, given as a mask or in one more dimension.

A key that stands for `k` others gets `log(k)` added to its scores (`training.audio_context: merged`). As a mask it is
added by the kernel; without one, queries get a dimension of ones and keys one that holds the weight.
"""

import math
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.gpu_sections.trial import Trial, heads, line
from benchmarks.speed.timing import clock_of

KERNELS = (
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
)
IDLE_WORDS = re.compile("not used because|runtime disabled")  # of kernels that were not asked for, and headings
EXTRA = 8  # dimensions, of which one is used: kernels want multiples of eight
CALLS = 10
# (queries, keys) of the encoder and of cross-attention, on short clips; of 704 keys 64 are left over of 128
SHAPES = ((640, 640), (704, 704), (40, 704))


@dataclass(frozen=True)
class Scores:
    """Queries, keys and values, (batch, heads, positions, width of a head), and what each key's scores get added."""

    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    weight: torch.Tensor  # (keys,)

    def plain(self) -> torch.Tensor:
        """Without the weights."""
        return F.scaled_dot_product_attention(self.query, self.key, self.value)

    def mask(self) -> torch.Tensor:
        """The weights as a mask to add."""
        shape = (*self.query.shape[:3], len(self.weight))
        return F.scaled_dot_product_attention(self.query, self.key, self.value, attn_mask=self.weight.expand(shape))

    def dimension(self) -> torch.Tensor:
        """The weights in one more dimension."""
        return self._widened(self.value)

    def dimension_everywhere(self) -> torch.Tensor:
        """The same, with values as wide as queries and keys."""
        return self._widened(F.pad(self.value, (0, EXTRA)))[..., : self.value.shape[-1]]

    def _widened(self, value: torch.Tensor) -> torch.Tensor:
        scale = 1 / math.sqrt(self.query.shape[-1])
        ones = self.query.new_zeros(EXTRA)
        ones[0] = 1
        weights = F.pad((self.weight / scale)[:, None], (0, EXTRA - 1))
        query = torch.cat([self.query, ones.expand(*self.query.shape[:3], EXTRA)], dim=-1)
        key = torch.cat([self.key, weights.expand(*self.key.shape[:2], *weights.shape)], dim=-1)
        return F.scaled_dot_product_attention(query, key, value, scale=scale)


WAYS: dict[str, Callable[[Scores], torch.Tensor]] = {
    "no weights": Scores.plain,
    "mask": Scores.mask,
    "dimension": Scores.dimension,
    "dimension, values too": Scores.dimension_everywhere,
}


def attention(trial: Trial) -> Iterator[str]:
    """Each way with each kernel: whether it runs, the time of both passes, and how far it is from fp32."""
    torch.backends.cuda.enable_cudnn_sdp(False)  # as in training; the rows below ask for each kernel by its name
    yield f"Forward and backward pass in {trial.dtype}, the mean of {CALLS}; errors are the largest, against fp32.\n"
    yield heads("queries x keys", "weights as", "kernel", "ms", "error", "error of gradients", "why not")
    batch, heads_of_layer, shapes = (1, 2, ((32, 32),)) if trial.is_quick else (16, 20, SHAPES)
    for asking, heard in shapes:
        scores = new_scores(batch, heads_of_layer, asking, heard, trial)
        for name, way in WAYS.items():
            exact = results(way, as_fp32(scores))
            for kernel in KERNELS:
                yield line([f"{asking} x {heard}", name, kernel.name, *tried(way, scores, kernel, exact, trial)])
        for name, way in WAYS.items():
            seconds = clock_of(trial.device)(partial(repeated, way, scores))
            yield line([f"{asking} x {heard}", name, "the trainer's choice", seconds / CALLS * 1e3, "", "", ""])


def new_scores(batch: int, heads_of_layer: int, asking: int, heard: int, trial: Trial) -> Scores:
    """Random ones; the last third of the keys stand for four others each."""
    torch.manual_seed(0)
    shapes = [(batch, heads_of_layer, length, 64) for length in (asking, heard, heard)]
    tensors = [torch.randn(shape, device=trial.device, dtype=trial.dtype).requires_grad_() for shape in shapes]
    weight = torch.zeros(heard, device=trial.device, dtype=trial.dtype)
    weight[2 * heard // 3 :] = math.log(4)
    return Scores(*tensors, weight)


def as_fp32(scores: Scores) -> Scores:
    """The same numbers in fp32."""
    query, key, value = (part.detach().float().requires_grad_() for part in (scores.query, scores.key, scores.value))
    return Scores(query, key, value, scores.weight.float())


def results(way: Callable[[Scores], torch.Tensor], scores: Scores) -> list[torch.Tensor]:
    """What comes out, and the gradients of its sum of squares by queries, keys and values."""
    output = way(scores)
    gradients = torch.autograd.grad(output.float().square().sum(), (scores.query, scores.key, scores.value))
    return [output.detach(), *gradients]


def repeated(way: Callable[[Scores], torch.Tensor], scores: Scores) -> None:
    """Both passes, CALLS times."""
    for _ in range(CALLS):
        results(way, scores)


def tried(
    way: Callable[[Scores], torch.Tensor],
    scores: Scores,
    kernel: SDPBackend,
    exact: Sequence[torch.Tensor],
    trial: Trial,
) -> tuple[float | str, float | str, float | str, str]:
    """(milliseconds of both passes, error, error of the gradients, "") with only this kernel allowed; or why not."""
    with warnings.catch_warnings(record=True) as refusals, sdpa_kernel(kernel):
        warnings.simplefilter("always")
        try:
            pairs = zip(results(way, scores), exact, strict=True)
            error, *others = [float((mine.float() - other).abs().max()) for mine, other in pairs]
            seconds = clock_of(trial.device)(partial(repeated, way, scores)) / CALLS
            # nan, which is the largest of all here: cuDNN's gradients have been it
            return seconds * 1e3, error, float(np.max(others)), ""
        except RuntimeError as refusal:
            reasons = [text for text in (str(warning.message) for warning in refusals) if not IDLE_WORDS.search(text)]
            return "", "", "", [*reasons, str(refusal)][0].split("(Triggered")[0].strip()[:160]
