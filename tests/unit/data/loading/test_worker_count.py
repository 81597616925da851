"""Workers by cores and ranks."""

import os
from pathlib import Path

import pytest
import torch

from accel_asr.data.loading import worker_count
from accel_asr.data.loading.worker_count import num_workers_of_rank, usable_cores

GPU, CPU = torch.device("cuda", 0), torch.device("cpu")


@pytest.fixture
def quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "cpu.max"
    monkeypatch.setattr(worker_count, "_CPU_QUOTA", path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    return path


@pytest.mark.parametrize(
    ("cores", "ranks", "workers"),
    [(16, 1, 8), (8, 1, 6), (4, 1, 2), (3, 1, 1), (1, 1, 1), (96, 8, 8), (64, 8, 6), (8, 8, 1), (2, 8, 1)],
)
def test_each_rank_of_a_machine_takes_its_part(monkeypatch, cores: int, ranks: int, workers: int) -> None:
    monkeypatch.setattr(worker_count, "usable_cores", lambda: cores)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(ranks))
    assert num_workers_of_rank(None, device=GPU) == workers


def test_a_run_on_the_cpu_has_none_unless_asked(quota: Path) -> None:
    assert num_workers_of_rank(None, device=CPU) == 0
    for wanted in (0, 3):
        assert num_workers_of_rank(wanted, device=CPU) == num_workers_of_rank(wanted, device=GPU) == wanted


@pytest.mark.parametrize(
    ("written", "cores"),
    [(None, 16), ("max 100000\n", 16), ("400000 100000\n", 4), ("3200000 100000\n", 16), ("50000 100000\n", 1)],
)
def test_a_container_may_have_fewer_cores_than_its_machine(quota: Path, written: str | None, cores: int) -> None:
    if written is not None:
        quota.write_text(written)
    assert usable_cores() == cores
