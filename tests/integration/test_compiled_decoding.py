"""`evaluation.compile_decoding` in runs of one and two processes, whole and sharded, and in `accel-asr evaluate`."""

import json
import sys
from pathlib import Path

import pytest

from tests.integration.launching import offline_environment, run
from tests.integration.tones import TonesJob

SHORT = ("--training.max_steps", "4", "--evaluation.eval_steps", "2")
COMPILED = ("--evaluation.compile_decoding", "true")
STEPS = (0, 2, 4)
# slow: seven processes that wait for a compiler; a group: its tests share them
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def compiler_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiler's cache: empty as long as it was never called."""
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(scope="module")
def job(tones: TonesJob, compiler_cache: Path) -> TonesJob:
    options = {"env": {"TORCHINDUCTOR_CACHE_DIR": str(compiler_cache)}, "deadline_s": 400}
    plain = [tones.launch("compiled-not", (1, 8, 1), *SHORT, **options)]
    assert tones.run_plan(plain) == [[0]], tones.logs(plain)
    assert not any(compiler_cache.rglob("*.cpp"))
    plan = [
        tones.launch("compiled-two", (2, 2, 2), *SHORT, *COMPILED, **options),
        tones.launch("compiled-sharded", (2, 2, 2), *SHORT, *COMPILED, **options, fsdp=True),
    ]
    assert tones.run_plan(plan) == [[0, 0], [0, 0]], tones.logs(plan)
    assert any(compiler_cache.rglob("*.cpp"))
    return tones


def transcripts(path: Path) -> list[tuple[str, str, bool]]:
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [(line["utterance_id"], line["hypothesis"], line["cut_off"]) for line in lines]


@pytest.mark.parametrize("name", ["compiled-two", "compiled-sharded"])
def test_transcripts_are_those_of_one_process_without_it(job: TonesJob, name: str) -> None:
    for step in STEPS:
        file = f"evaluations/step-{step:08d}.jsonl"
        expected = transcripts(job.run_dir("compiled-not") / file)
        assert transcripts(job.run_dir(name) / file) == expected
        assert len({hypothesis for _, hypothesis, _ in expected}) > 1
    settings = [(job.run_dir(run) / "best" / "generation_config.json").read_text() for run in (name, "compiled-not")]
    assert settings[0] == settings[1]


def test_the_evaluate_command_takes_it(job: TonesJob, compiler_cache: Path) -> None:
    for file in compiler_cache.rglob("*.cpp"):
        file.unlink()
    folder = job.run_dir("compiled-not")
    command = [sys.executable, "-m", "accel_asr", "evaluate", "--model", str(folder / "last"), *COMPILED]
    env = {**offline_environment(), "TORCHINDUCTOR_CACHE_DIR": str(compiler_cache)}
    finished = run([*command, "--output_dir", "compiled-scores"], cwd=job.folder, env=env)
    assert finished.code == 0, finished.out + finished.err[-4000:]
    scores = job.folder / "compiled-scores"
    assert transcripts(scores / "validation.jsonl") == transcripts(folder / "evaluations" / "step-00000004.jsonl")
    assert json.loads((scores / "scores.json").read_text())["decoding"]["compiled"] is True
