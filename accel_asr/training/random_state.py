"""The random number generators of one rank, as tensors: kept, put back, or seeded anew."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from accelerate.utils import set_seed

RandomState = dict[str, torch.Tensor]


def random_state(device: torch.device) -> RandomState:
    """The states of this rank's generators: torch on the CPU and on `device`, NumPy, Python."""
    numpy_state, python_state = np.random.get_state(legacy=True), random.getstate()
    assert isinstance(numpy_state, tuple)
    states = {
        "torch": torch.get_rng_state(),
        "numpy.keys": torch.from_numpy(numpy_state[1].astype(np.int64)),
        "numpy.rest": torch.tensor([numpy_state[2], numpy_state[3]], dtype=torch.int64),
        "numpy.cached_gaussian": torch.tensor([numpy_state[4]], dtype=torch.float64),
        "python": torch.tensor(python_state[1], dtype=torch.int64),
    }
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def restore_random_state(states: Mapping[str, torch.Tensor]) -> None:
    """Put back what `random_state` gave."""
    torch.set_rng_state(states["torch"])
    position, has_gaussian = states["numpy.rest"].tolist()
    keys = states["numpy.keys"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", keys, position, has_gaussian, float(states["numpy.cached_gaussian"])))
    random.setstate((3, tuple(states["python"].tolist()), None))
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"])


def seed_for(seed: int, step: int, rank: int) -> None:
    """Seed all generators as a function of the three: for a rank that has no state to go on from."""
    set_seed(int(np.random.SeedSequence((seed, step, rank)).generate_state(1)[0]))


@contextmanager
def random_state_kept(device: torch.device) -> Iterator[None]:
    """Whatever is drawn inside, the generators go on afterwards as if it had not been."""
    before = random_state(device)
    try:
        yield
    finally:
        restore_random_state(before)
