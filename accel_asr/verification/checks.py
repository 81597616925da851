"""What a comparison finds: how far apart, how far that may be, and which rank saw the worst."""

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import torch
from accelerate.utils import gather_object


@dataclass(frozen=True)
class Tolerances:
    """How far this launch may be from one process in fp32.

    loss, norm, update: relative differences. direction: 1 - cosine.
    """

    loss: float
    norm: float
    direction: float
    update: float


# The reference is always fp32. Seen on the quickstart, in this order: 3e-7, 4e-7, 1e-12, 3e-5 in fp32, and 3e-3, 2e-3,
# 1e-4, 4e-2 in bf16, from rounding alone; a larger model rounds more often. fp16 was not run. Adam's first updates go
# by the sign of the gradient, so that weights whose gradient is nearly nothing may go either way.
TOLERANCES = {
    "no": Tolerances(loss=1e-5, norm=1e-4, direction=1e-5, update=1e-2),
    "fp16": Tolerances(loss=1e-2, norm=2e-2, direction=1e-2, update=0.5),
    "bf16": Tolerances(loss=2e-2, norm=5e-2, direction=1e-2, update=0.5),
}


@dataclass(frozen=True)
class Check:
    """One line of the result: what one process gives, what this launch gives, how far apart, how far they may be."""

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
    """Two lists of tensors as two vectors: their norms, 1 - cosine, and |other - one| / |one|; inf for what is nan."""

    norm: float
    other_norm: float
    turned: float
    difference: float


def likeness(ones: Iterable[torch.Tensor], others: Iterable[torch.Tensor]) -> Likeness:
    """Compare in fp64, tensor by tensor."""
    sums = [0.0, 0.0, 0.0, 0.0]
    for one, other in zip(ones, others, strict=True):
        a, b = one.detach().cpu().double(), other.detach().cpu().double()
        parts = ((a * a).sum(), (b * b).sum(), (a * b).sum(), (b - a).square().sum())
        sums = [total + float(part) for total, part in zip(sums, parts, strict=True)]
    norm, other_norm, difference = math.sqrt(sums[0]), math.sqrt(sums[1]), math.sqrt(sums[3])
    if norm and other_norm:
        turned = max(_inf_for_nan(1 - sums[2] / (norm * other_norm)), 0.0)
    else:
        turned = float(norm != other_norm)
    return Likeness(norm, other_norm, turned, _inf_for_nan(difference / norm if norm else difference))


def worst_of_ranks(checks: list[Check]) -> list[Check]:
    """Each check as the rank sees it that is farthest off. A collective; every rank gets the same list."""
    return [max(ranks, key=_badness) for ranks in zip(*gather_object([checks]), strict=True)]


def same_ids(name: str, expected: Sequence[Hashable], found: Sequence[Hashable]) -> Check:
    """How many utterances are missing, too many, or there more often than they should be."""
    wanted, there = Counter(expected), Counter(found)
    return Check(name, str(len(expected)), str(len(found)), ((there - wanted) + (wanted - there)).total(), 0)


def relative_difference(one: float, other: float) -> float:
    """|other - one| / |one|, or |other| where `one` is nothing; inf for what is nan."""
    return _inf_for_nan(abs(other - one) / abs(one) if one else abs(other))


def _inf_for_nan(value: float) -> float:
    """A difference that is not a number is the largest there is: `max` must find it."""
    return math.inf if math.isnan(value) else value


def _badness(check: Check) -> tuple[bool, float]:
    return not check.passed, check.difference
