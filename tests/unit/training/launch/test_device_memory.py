"""How much memory is left: of the machine, of containers, of this process's part; and the peak of a piece of work."""

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch

from accel_asr.training.launch import device_memory
from accel_asr.training.launch.device_memory import available_bytes, free_memory, peak_watched

CPU = torch.device("cpu")
FILES = {
    2: ("memory.max", "memory.current", "inactive_file"),
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


@pytest.fixture
def cgroups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty tree of control groups, on a machine with 10,000 bytes left."""
    monkeypatch.setattr(device_memory, "_CGROUPS", tmp_path)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=10_000))
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    return tmp_path


def limit(folder: Path, version: int, *, allowed: object, used: int, cached: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in zip(FILES[version], (f"{allowed}\n", f"{used}\n", None), strict=True):
        if content is not None:
            (folder / name).write_text(content)
    (folder / "memory.stat").write_text(f"anon 5\n{FILES[version][2]} {cached}\n")


def test_the_machine_is_the_limit_where_nothing_else_is(cgroups: Path) -> None:
    assert available_bytes(CPU) == 10_000


@pytest.mark.parametrize(("version", "root"), [(2, "."), (1, "memory")])
def test_a_container_may_leave_less_and_gives_up_cached_files_first(cgroups: Path, version: int, root: str) -> None:
    limit(cgroups / root, version, allowed=3_000, used=1_200, cached=200)
    if version == 1 or Path("/proc/self/cgroup").read_text().count("0::"):
        assert available_bytes(CPU) == 2_000
    limit(cgroups / root, version, allowed="max", used=1_200, cached=200)
    assert available_bytes(CPU) == 10_000


def test_ranks_on_one_machine_share_what_is_left(cgroups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert available_bytes(CPU) == 2_500


def test_the_peak_is_that_of_memory_which_is_gone_by_now() -> None:
    free_memory()
    with peak_watched() as peak:
        before = peak.bytes
        for _ in range(3):
            torch.zeros(25_000_000)  # 100 MB
    assert peak.bytes - before == pytest.approx(100e6, rel=0.2)
