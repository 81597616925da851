"""Prove and measure on one GPU, in less than nine minutes: `python -m benchmarks.gpu_first --output gpu-first.md`.

Each section is a process of its own with a limit in seconds; what it leaves of that is added to the next one's. Its
lines go straight into the output file, so that whatever ends it, or the whole program, what was measured by then is
there. A missing package, a failure or the limit ends a section and not the others.

    python -m benchmarks.gpu_first --device cpu --quick     # every section at a tiny size, to test the program itself

The weights are random, the recordings noise: no network is needed.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
MISSING_PACKAGE, LAST_LINES = 3, 12
PATIENCE = {"cuda": 1, "cpu": 10}  # times the share of each section: on a CPU only the program itself is tried
DONE, LACKS_A_PACKAGE = "done", "a package is missing"


@dataclass(frozen=True)
class Section:
    """`function` is `module.function` in `benchmarks.gpu_sections`; `share_s` its part of the time."""

    name: str
    title: str
    share_s: float
    function: str


# in the order of what matters most; together less than nine minutes
SECTIONS = (
    Section("environment", "The machine", 15, "environment.environment"),
    Section("tests", "pytest -m gpu", 100, "environment.tests"),
    Section("job", "The reference job", 50, "whole_runs.reference_job"),
    Section("ceiling", "Share of the ceiling, full windows", 45, "steps.ceiling"),
    Section("steps", "Time of a training step", 50, "steps.step_times"),
    Section("waits", "Kernels and waits of a training step", 35, "steps.kernels_and_waits"),
    Section("attention", "Attention with weights for its keys", 25, "attention.attention"),
    Section("evaluation", "Evaluation", 50, "evaluations.evaluation"),
    Section("trainer", "Beside Seq2SeqTrainer", 45, "whole_runs.beside_the_trainer"),
    Section("epochs", "Epochs of merged windows", 45, "whole_runs.merged_epochs"),
    Section("compile", "Compiled encoder layers", 40, "steps.compiled_steps"),
    Section("memory", "Memory of a training step", 20, "steps.memory"),
)


@dataclass(frozen=True)
class Outcome:
    """How a section ended: `done`, or why it was not."""

    name: str
    outcome: str
    took_s: float


def main() -> int:
    """Run the sections; 0 if all came to their end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [section.name for section in SECTIONS]
    parser.add_argument("--sections", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--output", type=Path, default=Path("gpu-first.md"), help="a Markdown file, written anew")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda")
    parser.add_argument("--quick", action="store_true", help="tiny sizes")
    parser.add_argument("--section", choices=names, help=argparse.SUPPRESS)  # one, in this process
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)  # where sections keep the models they share
    parser.add_argument("--limit_s", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    sections = {section.name: section for section in SECTIONS}
    if options.section:
        signal.alarm(options.limit_s)  # also if the program that waits for this process is gone
        trial = [options.device, options.quick, options.folder]
        return show_section(lambda: lines_of_section(sections[options.section], *trial))
    options.output.write_text(heading(), encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:

        def command(section: Section, limit_s: float) -> list[str]:
            own = ["--section", section.name, "--folder", folder, "--limit_s", str(int(limit_s) + 1)]
            quick = ["--quick"] if options.quick else []
            return [sys.executable, "-m", "benchmarks.gpu_first", "--device", options.device, *own, *quick]

        patience = PATIENCE[options.device]
        chosen = [replace(sections[name], share_s=patience * sections[name].share_s) for name in options.sections]
        outcomes = run_sections(chosen, command, options.output)
    return 0 if all(outcome.outcome == DONE for outcome in outcomes) else 1


def heading() -> str:
    """The first lines of the output file."""
    words = " ".join(["python -m benchmarks.gpu_first", *sys.argv[1:]])
    git = ["git", "-C", str(REPOSITORY), "rev-parse", "--short", "HEAD"]
    commit = ""
    with suppress(OSError):
        commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    return f"# First measurements on a GPU\n\n`{words}` at commit {commit or 'unknown'}, {time.strftime('%Y-%m-%d')}.\n"


def run_sections(
    sections: Sequence[Section], command: Callable[[Section, float], list[str]], output: Path
) -> list[Outcome]:
    """Run them one after another, each for its share of the time and what those before it have left.

    Args:
        command: Of a section and its limit in seconds; what it prints is added to `output`.
    """
    outcomes, left_s = [], 0.0
    for section in sections:
        limit_s = section.share_s + left_s
        start = output.stat().st_size
        outcome = run_section(section, command(section, limit_s), output, limit_s=limit_s)
        left_s = max(limit_s - outcome.took_s, 0.0)
        outcomes.append(outcome)
        with output.open(encoding="utf-8") as file:
            file.seek(start)
            print(file.read(), flush=True)
    rows = "\n".join(f"| {each.name} | {each.outcome} | {each.took_s:.1f} |" for each in outcomes)
    add(output, f"\n## All sections\n\n| section | outcome | seconds |\n|---|---|---|\n{rows}\n")
    print(rows, flush=True)
    return outcomes


def run_section(section: Section, command: list[str], output: Path, *, limit_s: float) -> Outcome:
    """Run one, with its output in the file, and end all that it started at its limit."""
    add(output, f"\n## {section.title}\n\n")
    started_s = time.monotonic()
    with output.open("ab") as shown, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=shown, stderr=errors, cwd=REPOSITORY, start_new_session=True
        )
        try:
            code: int | None = process.wait(timeout=limit_s)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        errors.seek(0)
        last_lines = "\n".join(errors.read().decode(errors="replace").splitlines()[-LAST_LINES:])
    took_s = time.monotonic() - started_s
    if code is None or code == -signal.SIGALRM:
        outcome = f"ended at its limit of {limit_s:.0f} s"
    else:
        outcome = {0: DONE, MISSING_PACKAGE: LACKS_A_PACKAGE}.get(code, f"failed with exit code {code}")
    text = f"\n{section.name}: {outcome}; {took_s:.1f} s of {limit_s:.0f} s.\n"
    if outcome not in (DONE, LACKS_A_PACKAGE):
        text += f"\n```text\n{last_lines}\n```\n"
    add(output, text)
    return Outcome(section.name, outcome, took_s)


def show_section(lines: Callable[[], Iterator[str]]) -> int:
    """Print each line as it comes; the exit code."""
    try:
        for line in lines():
            print(line, flush=True)
    except ModuleNotFoundError as error:
        print(f"\nneeds {error.name}, which is not installed: docs/gpu.md says what to bring", flush=True)
        return MISSING_PACKAGE
    return 0


def lines_of_section(section: Section, device: str, is_quick: bool, folder: Path) -> Iterator[str]:
    """What a section measures, in this process."""
    os.environ["ACCELERATE_USE_CPU"] = str(device == "cpu").lower()
    module, function = section.function.split(".")
    measure = getattr(import_module(f"benchmarks.gpu_sections.{module}"), function)
    if module != "environment":  # which also stands where torch is missing
        from benchmarks.gpu_sections.trial import Trial

        yield from measure(Trial.start(device, is_quick=is_quick, folder=folder))
    else:
        yield from measure(device, is_quick=is_quick)


def add(output: Path, text: str) -> None:
    """Append to the file, at once."""
    with output.open("a", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    sys.exit(main())
