"""The first measurements on a GPU: whatever a section does, the others are run, and what it said before is kept."""

import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
import torch

from benchmarks import gpu_first
from benchmarks.gpu_first import SECTIONS, Section, lines_of_section, run_sections, show_section
from benchmarks.gpu_sections import attention, environment, steps, whole_runs
from benchmarks.gpu_sections.attention import WAYS, Scores, as_fp32, new_scores
from benchmarks.gpu_sections.trial import Trial, line

PRETENDED_S = {"job_s": 4.0, "epoch_s": 2.0, "data_wait_share": 0.25}
BY_NAME = {section.name: section for section in SECTIONS}


@pytest.fixture
def output(tmp_path: Path) -> Path:
    file = tmp_path / "first.md"
    file.write_text("# heading\n", encoding="utf-8")
    return file


def section(name: str, share_s: float = 20.0) -> Section:
    return Section(name, f"Title of {name}", share_s, "")


def outcomes(output: Path, **programs: str) -> dict[str, str]:
    """Run these programs as sections; the outcome of each."""
    sections = [section(name, 0.5 if name == "hangs" else 20.0) for name in programs]
    ended = run_sections(sections, lambda each, limit_s: [sys.executable, "-c", programs[each.name]], output)
    return {outcome.name: outcome.outcome for outcome in ended}


def test_each_section_stands_alone_and_what_it_said_is_kept(output: Path) -> None:
    hangs = "import time; print('| measured | 1 |', flush=True); time.sleep(60)"
    ended = outcomes(
        output,
        hangs=hangs,
        fails="print('| measured | 2 |', flush=True); raise RuntimeError('no such kernel')",
        lacks="import sys; print('needs jiwer'); sys.exit(3)",
        killed="import os; print('| measured | 3 |', flush=True); os.kill(os.getpid(), 9)",
        works="print('| measured | 4 |')",
    )
    assert ended == {
        "hangs": "ended at its limit of 0 s",
        "fails": "failed with exit code 1",
        "lacks": "a package is missing",
        "killed": "failed with exit code -9",
        "works": "done",
    }
    text = output.read_text(encoding="utf-8")
    assert text.startswith("# heading\n")
    places = [
        text.index(words) for words in ("| measured | 1 |", "| measured | 2 |", "needs jiwer", "| measured | 4 |")
    ]
    assert places == sorted(places)
    assert "RuntimeError: no such kernel" in text
    assert "| works | done |" in text


def test_a_line_is_in_the_file_as_soon_as_it_is_printed(output: Path, tmp_path: Path) -> None:
    """A section waits until it reads its own first line there: nothing is kept back until its end."""
    program = f"""
import pathlib, time
print("| measured | 1 |", flush=True)
while "| measured | 1 |" not in pathlib.Path({str(output)!r}).read_text():
    time.sleep(0.01)
print("seen")
"""
    assert outcomes(output, waits=program) == {"waits": "done"}
    assert "seen" in output.read_text(encoding="utf-8")


def test_what_a_section_leaves_of_its_time_is_for_the_next(output: Path) -> None:
    limits: list[float] = []

    def command(each: Section, limit_s: float) -> list[str]:
        limits.append(limit_s)
        return [sys.executable, "-c", "pass"]

    run_sections([section("first", 20.0), section("second", 30.0)], command, output)
    assert limits[0] == 20.0
    assert 40.0 < limits[1] < 50.0


def test_all_that_a_section_started_ends_with_it(output: Path, tmp_path: Path) -> None:
    child = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    program = (
        f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}]); import time; time.sleep(60)"
    )
    sections = [section("starts another", 3.0)]
    run_sections(sections, lambda each, limit_s: [sys.executable, "-c", program], output)
    pid = int((tmp_path / "pid").read_text())
    for _ in range(100):
        state = Path(f"/proc/{pid}/stat")
        if not state.exists() or state.read_text().split()[2] == "Z":  # nobody waits for it here
            return
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    raise AssertionError("it still ran")


def test_a_missing_package_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    def lines():
        yield "| first |"
        import not_to_be_found  # noqa: F401

    assert show_section(lines) == gpu_first.MISSING_PACKAGE
    assert capsys.readouterr().out.splitlines()[::2] == [
        "| first |",
        "needs not_to_be_found, which is not installed: docs/gpu.md says what to bring",
    ]


def test_the_sections_take_less_than_nine_minutes() -> None:
    assert sum(each.share_s for each in SECTIONS) <= 530
    assert len(BY_NAME) == len(SECTIONS)


# -- what they measure, at a tiny size on the CPU


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def text_of(name: str, folder: Path) -> str:
    return "\n".join(lines_of_section(BY_NAME[name], "cpu", True, folder))


@pytest.mark.integration  # seconds each
@pytest.mark.usefixtures("accelerator")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("environment", "packages that are missing: none"),
        ("ceiling", "| train step, share of matrix-multiply ceiling |"),
        ("steps", "| tiny | 2 | 500 |"),
        ("waits", "| tiny | merged |"),
        ("attention", "| 32 x 32 | mask | FLASH_ATTENTION |"),
        ("evaluation", "| ours, merged window, compiled | 4 |"),
        ("compile", "| tiny | merged |"),
        ("memory", "| tiny | 2 | merged | both |"),
    ],
)
def test_a_section_measures(name: str, words: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.speed.device_rows.SIDES", {"cpu": 64})
    assert words in text_of(name, folder)
    torch.compiler.set_stance("default")


@pytest.mark.parametrize("name", ["job", "trainer", "epochs"])
def test_whole_runs_are_those_of_the_product(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run itself is tested with the rows of `benchmarks.speed`."""
    runs = []

    def pretended(bench, shape, manifest, **more):
        runs.append(more)
        return {key: value / (2 if more else 1) for key, value in PRETENDED_S.items()}

    monkeypatch.setattr(whole_runs, "run_job", pretended)
    text = text_of(name, folder)
    merged = {"training.audio_context": "merged", "evaluation.audio_context": "merged"}
    assert runs == ([{}] if name == "job" else [{}, merged])
    assert {"job": "| 1 | 4 | 2 | 0.25 |", "trainer": "| ours, merged | 1 |", "epochs": "merged is 2.00 times"}[
        name
    ] in text


def test_a_cuda_device_that_is_not_there_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match="no CUDA device"):
        list(lines_of_section(BY_NAME["steps"], "cuda", True, folder))


@pytest.mark.parametrize(("device", "marked"), [("cuda", "gpu"), ("cpu", "not integration")])
def test_the_tests_of_a_gpu_must_find_one(device: str, marked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def pretended(command, **options):
        calls.append((command, options["env"]))
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(subprocess, "run", pretended)
    with pytest.raises(SystemExit) as end:
        list(environment.tests(device, is_quick=False))
    [(command, variables)] = calls
    assert end.value.code == 1
    assert command[-3:] == ["-m", marked, "tests/gpu"]
    assert variables["ACCEL_ASR_REQUIRE_GPU"] == "1"


def test_weights_of_keys_are_the_same_as_a_mask_and_as_a_dimension(folder: Path) -> None:
    scores = as_fp32(new_scores(2, 2, 5, 12, Trial(torch.device("cpu"), True, folder)))
    as_mask = WAYS["mask"](scores)
    for name in ("dimension", "dimension, values too"):
        torch.testing.assert_close(WAYS[name](scores), as_mask, rtol=1e-5, atol=1e-5)
    assert (as_mask - WAYS["no weights"](scores)).abs().max() > 0.01


def test_a_line_of_a_table() -> None:
    assert line(["a|b", 2, 1234.6, 0.012345, True]) == "| a/b | 2 | 1,235 | 0.0123 | yes |"


# -- what only a GPU does, with CUDA pretended


def test_waits_of_the_host_are_counted_by_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[str] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)
    here = Path(__file__).relative_to(Path.cwd())

    def work() -> None:
        for _ in range(2):
            warnings.warn_explicit("called a synchronizing CUDA operation", UserWarning, __file__, 7)
        warnings.warn_explicit("something else", UserWarning, __file__, 8)

    assert steps.host_waits(work, torch.device("cuda")) == {f"{here}:7": 2}
    assert modes == ["warn", "default"]
    assert steps.host_waits(work, torch.device("cpu")) == {}


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), "no"), ((9, 0), "bf16")])
def test_bf16_is_measured_where_it_is_not_emulated(
    capability: tuple[int, int], expected: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert Trial(torch.device("cuda"), False, folder).mixed_precision == expected
    assert Trial(torch.device("cpu"), False, folder).mixed_precision == "no"


def test_a_kernel_that_refuses_says_why(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(scores: Scores) -> torch.Tensor:
        for text in (
            "Flash attention kernel not used because:",
            "Flash Attention does not support non-null attn_mask.",
        ):
            warnings.warn_explicit(f"{text} (Triggered internally at sdp.cpp)", UserWarning, __file__, 1)
        raise RuntimeError("No available kernel. Aborting execution.")

    trial = Trial(torch.device("cpu"), True, folder)
    scores = new_scores(1, 1, 2, 4, trial)
    reason = "Flash Attention does not support non-null attn_mask."
    assert attention.tried(refuses, scores, attention.KERNELS[0], [], trial) == ("", "", "", reason)
