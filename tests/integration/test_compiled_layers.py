"""`training.compile`, by the real compiler: a resumed run is the unbroken one, and both are close to one without it."""

import signal

import pytest

from tests.integration.tones import TonesJob

ALONE = (1, 4, 2)
COMPILED = ("--training.compile", "encoder_layers", "--training.max_steps", "3")
RESUME = (*COMPILED, "--checkpoint.resume", "true")
STOP = {"moment": "step", "count": 4, "signal": int(signal.SIGTERM), "rank": 0}  # in its second step
# slow: processes that wait for a compiler
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def job(tones: TonesJob, tmp_path_factory: pytest.TempPathFactory) -> TonesJob:
    cache = tmp_path_factory.mktemp("compiled")
    # one thread compiles here: each further one is a process that imports torch first
    env = {"TORCHINDUCTOR_CACHE_DIR": str(cache), "TORCHINDUCTOR_COMPILE_THREADS": "1"}
    options = {"env": env, "deadline_s": 600}
    plan = [
        tones.launch("layers", ALONE, *COMPILED, **options),
        tones.launch("layers-stopped", ALONE, *COMPILED, **options, ends=STOP),
        tones.launch("layers-stopped", ALONE, *RESUME, **options),
    ]
    assert tones.run_plan(plan) == [[0], [75], [0]], tones.logs(plan)
    assert any(cache.rglob("*.cpp"))
    return tones


def test_a_resumed_run_is_the_unbroken_one_bit_for_bit(job: TonesJob) -> None:
    assert job.metrics("layers-stopped") == job.metrics("layers")
    job.assert_equal_weights("layers-stopped", "layers")


def test_it_trains_as_without_it(job: TonesJob) -> None:
    mine, expected = job.metrics("layers", "train"), job.metrics(job.whole_run(ALONE), "train")
    assert len(mine) == 3
    for line, plain in zip(mine, expected, strict=False):  # a longer run
        assert line["loss"] == pytest.approx(plain["loss"], abs=1e-4)
        assert line["grad_norm"] == pytest.approx(plain["grad_norm"], rel=1e-4)
    assert job.weights("layers").keys() == job.weights(job.whole_run(ALONE)).keys()
