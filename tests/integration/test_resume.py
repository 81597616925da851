"""A run that is killed and resumed ends as one that was never stopped: bit for bit on its own topology."""

import json
import shutil
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.integration.tones import RESUME, TOPOLOGIES, TonesJob

KILL = {"count": 5, "signal": int(signal.SIGKILL)}
KILLS = {
    1: {"moment": "checkpoint", "rank": 0, **KILL},  # the second one, with one of its files written
    2: {"moment": "evaluation", "rank": 1, **KILL},
    4: {"moment": "step", "rank": 2, **KILL},
}

# adapters at so high a rate that an average or an interpolation is better than any step
AVERAGED = (
    *("--lora.enabled", "true", "--training.learning_rate", "1e-2", "--evaluation.eval_steps", "6"),
    *("--training.ema_decay", "0.9", "--checkpoint.save_total_limit", "3", "--checkpoint.average_last", "3"),
    *("--checkpoint.interpolate", "true"),
)
KILLS_OF_AVERAGED = (
    {"moment": "checkpoint", "count": 8, "signal": int(signal.SIGKILL), "rank": 0},  # the second one's ema.safetensors
    {"moment": "evaluation", "count": 11, "signal": int(signal.SIGKILL), "rank": 0},  # of alpha 0.5, the fourth
)


@pytest.fixture(scope="module")
def whole(tones: TonesJob) -> dict[int, str]:
    """On 1, 2 and 4 processes, with data workers: a run to the end, and one that is killed, then resumed."""
    for processes, topology in TOPOLOGIES.items():
        name = f"killed{processes}"
        plan = [tones.launch(name, topology, ends=KILLS[processes]), tones.launch(name, topology, *RESUME)]
        killed, resumed = tones.run_plan(plan)
        assert killed[KILLS[processes]["rank"]] == -signal.SIGKILL
        assert resumed == [0] * processes, tones.logs(plan)
    return {processes: tones.whole_run(topology) for processes, topology in TOPOLOGIES.items()}


def assert_ends_alike(job: TonesJob, name: str, expected: str) -> None:
    job.assert_equal_weights(name, expected)
    assert job.metrics(name) == job.metrics(expected)
    for evaluation in sorted((job.run_dir(expected) / "evaluations").iterdir()):
        assert (job.run_dir(name) / "evaluations" / evaluation.name).read_text() == evaluation.read_text()


@pytest.mark.parametrize("processes", TOPOLOGIES)
def test_weights_metrics_and_transcripts_are_those_of_a_run_never_stopped(
    tones: TonesJob, whole: dict[int, str], processes: int
) -> None:
    assert "resumed after step" in tones.said(f"killed{processes}")
    assert_ends_alike(tones, f"killed{processes}", whole[processes])


@pytest.mark.parametrize("processes", TOPOLOGIES)
def test_a_step_is_trained_on_the_same_utterances_again(tones: TonesJob, whole: dict[int, str], processes: int) -> None:
    ledger = tones.ledger(f"killed{processes}")
    assert ledger == tones.ledger(whole[processes])
    assert all(len(lists) == 1 for lists in ledger.values())


def test_averages_of_the_weights_end_alike_after_kills(tones: TonesJob) -> None:
    two = TOPOLOGIES[2]
    plan = [tones.launch("averaged", two, *AVERAGED)]
    plan += [tones.launch("averaged, killed", two, *AVERAGED, ends=KILLS_OF_AVERAGED[0])]
    plan += [tones.launch("averaged, killed", two, *AVERAGED, *RESUME, ends=KILLS_OF_AVERAGED[1])]
    plan += [tones.launch("averaged, killed", two, *AVERAGED, *RESUME)]
    codes = tones.run_plan(plan)
    assert (codes[0], codes[3]) == ([0, 0], [0, 0]), tones.logs(plan)
    assert codes[1][0] == codes[2][0] == -signal.SIGKILL
    said = tones.said("averaged, killed")
    assert "resumed after step 2 of 12" in said
    assert "resumed after step 12 of 12" in said
    assert_ends_alike(tones, "averaged, killed", "averaged")
    killed, never_stopped = tones.run_dir("averaged, killed"), tones.run_dir("averaged")
    summary = json.loads((never_stopped / "summary.json").read_text())
    assert json.loads((killed / "summary.json").read_text()) == summary
    best = summary["best"]
    assert best == summary[best["weights"]]  # an interpolation, or the last assertions would say little
    assert 0 < best["alpha"] < 1
    assert best["versus_best"]["interval"][1] < 0
    assert len(summary) == 3 + 2 + 5  # averages and interpolations
    # saved once more after the averages: a run that is made longer from here knows what best/ is
    state = json.loads((killed / "checkpoints" / "step-00000012" / "state.json").read_text())
    assert state["progress"]["scores"] == summary
    assert {path.name for path in (killed / "evaluations").iterdir()} > {"ema.jsonl", "average.jsonl"}
    for file in ("best/model.safetensors", "checkpoints/step-00000012/ema.safetensors"):
        assert same_tensors(killed / file, never_stopped / file)
    adapter = load_file(killed / "best_adapter" / "adapter_model.safetensors")
    ema = load_file(killed / "checkpoints" / "step-00000012" / "ema.safetensors")
    last = load_file(killed / "checkpoints" / "step-00000012" / "model.safetensors")
    assert len(adapter) == len(ema) - 1  # and the number of updates
    for name, tensor in adapter.items():
        own_name = name.removeprefix("base_model.model.").replace(".weight", ".default.weight")
        scale = best["alpha"] if ".lora_B." in name else 1
        assert torch.equal(scale * last[own_name], tensor)


def same_tensors(file: Path, other: Path) -> bool:
    tensors, others = load_file(file), load_file(other)
    return tensors.keys() == others.keys() and all(torch.equal(tensors[name], others[name]) for name in tensors)


def test_the_same_global_batch_on_another_topology_resumes_nearly_equal_and_says_so(
    tones: TonesJob, whole: dict[int, str]
) -> None:
    half = tones.launch("redealt", TOPOLOGIES[2], ends={"moment": "step", "rank": -1, **KILL, "count": 11})
    codes = tones.run_plan([half, tones.launch("redealt", (1, 8, 1), *RESUME)])
    assert codes == [[-signal.SIGKILL, -signal.SIGKILL], [0]]
    assert "was 2 processes x 2 x 2 = 8, this run's is 1 process x 1 x 8 = 8" in tones.said_in_one_line("redealt")
    tones.assert_close_losses("redealt", whole[2])
    tones.assert_close_weights("redealt", whole[2])


def test_another_global_batch_is_refused_with_both_sums(tones: TonesJob, whole: dict[int, str]) -> None:
    assert tones.run_plan([tones.launch("killed1", (1, 3, 1), *RESUME)]) == [[2]]
    assert "1 process x 2 x 4 = 8 -> 1 process x 1 x 3 = 3" in tones.said_in_one_line("killed1")


def test_a_damaged_checkpoint_is_skipped_for_the_one_before(tones: TonesJob, whole: dict[int, str]) -> None:
    run = tones.run_dir("damaged")
    launch = tones.launch("damaged", TOPOLOGIES[1], *RESUME)
    shutil.copytree(tones.run_dir(whole[1]), run)
    newest = sorted((run / "checkpoints").iterdir())[-1]
    with (newest / "optimizer.safetensors").open("r+b") as file:
        file.truncate(1000)
    shutil.rmtree(run / "last")
    assert tones.run_plan([launch]) == [[0]]
    said = tones.said("damaged")
    assert f"checkpoint 'run/checkpoints/{newest.name}' is damaged" in said
    assert "resumed after step 10 of 12" in said
    assert_ends_alike(tones, "damaged", whole[1])
