"""Replay: general data mixed into training, so that the model keeps what it could do before."""

from collections.abc import Sequence

import numpy as np

from accel_asr.config.settings import SourceConfig
from accel_asr.data.selection.utterances import Utterances


def with_replay(
    sources: Sequence[SourceConfig], train: Sequence[Utterances], *, seed: int
) -> tuple[list[Utterances], tuple[float, ...], list[str]]:
    """(utterances of each source, their weights, notices) where some sources are replayed.

    A replayed source fills its `weight` of an epoch. Of its rows as many are taken, at random by `seed`, as that share
    of an epoch has; if it has fewer, they come more than once. So an epoch has every other row once, unless the other
    sources have weights of their own.
    """
    shares = [float(source.weight or 0) if source.replay else 0.0 for source in sources]
    rest = 1 - sum(shares)
    sizes = [0 if source.replay else len(rows) for source, rows in zip(sources, train, strict=True)]
    own = [float(source.weight or size) if size else 0.0 for source, size in zip(sources, sizes, strict=True)]
    taken, notices = list(train), []
    for number, (source, share) in enumerate(zip(sources, shares, strict=True)):
        if not source.replay:
            continue
        wanted, there = max(round(share / rest * sum(sizes)), 1), len(train[number])
        if wanted < there:
            chosen = np.random.default_rng((seed, number)).choice(there, size=wanted, replace=False)
            taken[number] = train[number].select(np.sort(chosen))
        again = "" if wanted <= there else f"; each comes {wanted / there:.1f} times in an epoch"
        notices.append(
            f"{source.name}: {share:.0%} of an epoch is replayed from it, {min(wanted, there):,} of its {there:,} "
            f"utterances{again}"
        )
    weights = tuple(share or rest * weight / sum(own) for share, weight in zip(shares, own, strict=True))
    return taken, weights, notices
