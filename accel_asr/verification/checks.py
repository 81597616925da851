"""Checks: how far two sides are apart, how far they may be, and the worst of all ranks."""

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from accelerate.utils import gather_object


@dataclass(frozen=True)
class Tolerances:
    """The largest differences from one process in fp32; relative, but `direction` is 1 - cosine."""

    loss: float
    norm: float
    direction: float
    update: float


# Observed on the quickstart, in this order: 3e-7, 4e-7, 1e-12, 3e-5 in fp32, and 3e-3, 2e-3, 1e-4, 4e-2 in bf16, from
# rounding alone; a larger model rounds more. fp16 was not run. Adam's first updates follow the sign of the gradient, so
# weights with a gradient near zero may move either way.
TOLERANCES = {
    "no": Tolerances(loss=1e-5, norm=1e-4, direction=1e-5, update=1e-2),
    "fp16": Tolerances(loss=1e-2, norm=2e-2, direction=1e-2, update=0.5),
    "bf16": Tolerances(loss=2e-2, norm=5e-2, direction=1e-2, update=0.5),
}


# Muon orthogonalises in bf16: 4e-3 observed on the quickstart with everything else in fp32
MUON_UPDATE = 5e-2


def tolerances(mixed_precision: str, optim: str) -> Tolerances:
    """Those of a run's precision and optimizer."""
    allowed = TOLERANCES[mixed_precision]
    return replace(allowed, update=max(allowed.update, MUON_UPDATE)) if optim == "muon" else allowed


@dataclass(frozen=True)
class Check:
    """One line of the result: the values of one process and of this launch, their difference, the largest allowed."""

    name: str
    alone: str
    launched: str
    difference: float
    allowed: float

    @property
    def passed(self) -> bool:
        return self.difference <= self.allowed


@dataclass(frozen=True)
class Likeness:
    """Two lists of tensors as two vectors a, b: their norms, 1 - cosine, and |b - a| / |a|; inf in place of nan."""

    norm: float
    other_norm: float
    turned: float
    difference: float


def likeness(first: Iterable[torch.Tensor], second: Iterable[torch.Tensor]) -> Likeness:
    """Compare in fp64, tensor by tensor."""
    sums = [0.0, 0.0, 0.0, 0.0]
    for tensor, other in zip(first, second, strict=True):
        a, b = tensor.detach().cpu().double(), other.detach().cpu().double()
        parts = ((a * a).sum(), (b * b).sum(), (a * b).sum(), (b - a).square().sum())
        sums = [total + float(part) for total, part in zip(sums, parts, strict=True)]
    norm, other_norm, difference = math.sqrt(sums[0]), math.sqrt(sums[1]), math.sqrt(sums[3])
    if norm and other_norm:
        turned = max(_inf_for_nan(1 - sums[2] / (norm * other_norm)), 0.0)
    else:
        turned = float(norm != other_norm)
    return Likeness(norm, other_norm, turned, _inf_for_nan(difference / norm if norm else difference))


def worst_of_ranks(checks: list[Check]) -> list[Check]:
    """Each check as its worst rank sees it. A collective; every rank gets the same list."""
    return [max(ranks, key=_badness) for ranks in zip(*gather_object([checks]), strict=True)]


def same_ids(name: str, expected: Sequence[Hashable], actual: Sequence[Hashable]) -> Check:
    """How many utterances are missing, unexpected or repeated."""
    missing, extra = Counter(expected) - Counter(actual), Counter(actual) - Counter(expected)
    return Check(name, str(len(expected)), str(len(actual)), (missing + extra).total(), 0)


def relative_difference(reference: float, value: float) -> float:
    """|value - reference| / |reference|, or |value| for a reference of 0; inf in place of nan."""
    return _inf_for_nan(abs(value - reference) / abs(reference) if reference else abs(value))


def _inf_for_nan(value: float) -> float:
    """`max` must find a difference that is not a number."""
    return math.inf if math.isnan(value) else value


def _badness(check: Check) -> tuple[bool, float]:
    return not check.passed, check.difference
