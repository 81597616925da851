"""The machine and what is installed there; and the tests of the GPU. Neither needs more than Python to begin."""

import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
FOR_TESTS = ("pytest",)
DEVICE_FACTS = "name,driver_version,memory.total,power.limit,clocks.max.sm,pcie.link.gen.max"


def environment(device: str, *, is_quick: bool) -> Iterator[str]:
    """Python, packages, processor, GPU and driver; what is missing; how fast products and copies are."""
    yield f"- Python {platform.python_version()}, {platform.platform()}, {os.cpu_count()} cores"
    yield f"- shared memory for workers: {shutil.disk_usage('/dev/shm').free / 1e9:.1f} GB"
    compilers = [name for name in ("gcc", "g++", "cc") if shutil.which(name)]
    yield f"- compilers, which compiled decoding needs: {', '.join(compilers) or 'none'}"
    missing = [name for name in wanted_packages() if installed(name) is None]
    named = " ".join(missing)
    yield f"- packages that are missing: {named or 'none'}"
    kept = [f"{name} {installed(name)}" for name in ("torch", "transformers", "accelerate", "triton", "numpy")]
    yield f"- versions: {', '.join(kept)}"
    if shutil.which("nvidia-smi"):
        asked = ["nvidia-smi", f"--query-gpu={DEVICE_FACTS}", "--format=csv,noheader"]
        answer = subprocess.run(asked, capture_output=True, text=True, check=False)
        yield f"- nvidia-smi ({DEVICE_FACTS}): {(answer.stdout or answer.stderr).strip()}"
    yield from measured(device, side=256 if is_quick else 8_192)


def measured(device: str, *, side: int) -> Iterator[str]:
    """What torch says of the device, and its speed at products of large matrices and at copies."""
    import torch

    from benchmarks.speed.timing import cuda_time, wall_time

    clock = cuda_time if device == "cuda" else wall_time
    if device == "cuda":
        facts = torch.cuda.get_device_properties(0)
        yield f"- torch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
        size = f"{facts.total_memory / 1e9:.0f} GB, {facts.multi_processor_count} multiprocessors"
        yield f"- {torch.cuda.device_count()} x {facts.name}, {size}, capability {facts.major}.{facts.minor}"
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
        into = torch.empty_like(left)
        torch.mm(left, right, out=into)
        seconds = min(clock(partial(torch.mm, left, right, out=into)) for _ in range(5))
        yield f"- product of {side:,} squared, {dtype}: {2 * side**3 / seconds / 1e12:.4g} TFLOP/s"
    large = torch.empty(side * side, device=device)
    copy = torch.empty_like(large)
    copy.copy_(large)
    seconds = min(clock(partial(copy.copy_, large)) for _ in range(5))
    yield f"- copy of {large.nbytes / 1e6:.0f} MB: {2 * large.nbytes / seconds / 1e9:,.0f} GB/s read and written"


def tests(device: str, *, is_quick: bool) -> Iterator[str]:
    """`pytest -m gpu`; on a CPU the same tests there."""
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "--no-header", "--tb=short"]
    folder = "tests/gpu/test_device_features.py" if is_quick else "tests/gpu"
    chosen = ["-m", "gpu"] if device == "cuda" else ["-m", "not integration"]
    environment_of_tests = {**os.environ, "ACCEL_ASR_REQUIRE_GPU": "1"}
    environment_of_tests.pop("ACCELERATE_USE_CPU", None)
    if installed("pytest") is None:
        raise ModuleNotFoundError("no pytest", name="pytest")
    yield "```text"
    code = subprocess.run(
        [*command, *chosen, folder], cwd=REPOSITORY, env=environment_of_tests, stderr=subprocess.STDOUT, check=False
    ).returncode
    yield "```"
    if code != 0:
        raise SystemExit(code)


def wanted_packages() -> list[str]:
    """The dependencies of pyproject.toml by name, and what its tests need."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [re.split(r"[^\w.-]", requirement)[0] for requirement in project["dependencies"]] + [*FOR_TESTS]


def installed(name: str) -> str | None:
    """Its version; None where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None
