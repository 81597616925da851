"""The files of launch_configs/: Accelerate opens them and knows every key; the Slurm script queues again as it should.

cpu_2_processes.yaml starts every two-process launch of tests/integration, fsdp2.yaml those of test_fsdp2.py.
"""

import os
import signal
import subprocess
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils.launch import prepare_multi_gpu_env, prepare_simple_launcher_cmd_env

from tests.integration.relabelled import fsdp_variables

FOLDER = Path(__file__).resolve().parents[2] / "launch_configs"
FILES = sorted(FOLDER.glob("*.yaml"))
SLURM = FOLDER / "slurm.sh"
EXPECTED = {  # distributed type, processes
    "cpu": ("NO", 1),
    "cpu_2_processes": ("MULTI_GPU", 2),
    "single_gpu": ("NO", 1),
    "multi_gpu": ("MULTI_GPU", 8),
    "multi_node": ("MULTI_GPU", 16),
    "fsdp2": ("FSDP", 8),
}
each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def launched(path: Path) -> Namespace:
    """What `accelerate launch --config_file path` understands."""
    parsed = launch_command_parser().parse_args(["--config_file", str(path), "accel_asr/train.py"])
    return _validate_launch_command(parsed)[0]


def test_all_are_there() -> None:
    assert {path.stem for path in FILES} == set(EXPECTED)


@each_file
def test_accelerate_opens_it(path: Path) -> None:
    config = load_config_from_file(str(path))
    assert (config.distributed_type.value, config.num_processes) == EXPECTED[path.stem]
    assert config.mixed_precision == ("no" if path.stem.startswith("cpu") else "bf16")
    assert config.use_cpu is (path.stem == "cpu")
    # the run owns accumulation; Accelerate would divide the loss by it once more
    assert "gradient_accumulation_steps" not in path.read_text(encoding="utf-8")


@each_file
def test_accelerate_launches_with_it(path: Path) -> None:
    arguments = launched(path)
    kind, processes = EXPECTED[path.stem]
    assert arguments.num_processes == processes
    assert (arguments.multi_gpu, arguments.use_fsdp) == (kind == "MULTI_GPU", kind == "FSDP")


@each_file
def test_every_nested_key_is_one_of_accelerates(path: Path) -> None:
    # it refuses unknown keys at the top only
    known = set(vars(launch_command_parser().parse_args(["script.py"])))
    nested = {
        key for section in yaml.safe_load(path.read_text()).values() if isinstance(section, dict) for key in section
    }
    assert nested <= known
    assert bool(nested) == (path.stem == "fsdp2")


@each_file
def test_the_user_chooses_the_gpus(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # `gpu_ids: "0"` would put a run back on GPU 0, whatever CUDA_VISIBLE_DEVICES says
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    arguments = launched(path)
    assert arguments.gpu_ids == "all"
    variables = prepare_simple_launcher_cmd_env(arguments)[1]
    assert variables["CUDA_VISIBLE_DEVICES"] == "3,5"


def test_the_test_of_fsdp2_sets_the_variables_that_the_launcher_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = launched(FOLDER / "fsdp2.yaml")
    arguments.main_process_port = 0
    variables = prepare_multi_gpu_env(arguments)
    assert variables["ACCELERATE_USE_FSDP"] == "true"
    assert {name: variables[name].lower() for name in fsdp_variables()} == {
        name: value.lower() for name, value in fsdp_variables().items()
    }


# -- Slurm

STUBS = {
    "srun": 'shift; export SLURM_NODEID=1; exec "$@"',  # its one option, then the command
    "scontrol": 'if [ "$1" = show ]; then printf "node7\\nnode8\\n"; else echo "$@" > requeued; fi',
    "scancel": 'echo "$@" > cancelled; kill -USR1 "$(cat launcher.pid)"',
    "accelerate": """
        printf '%s\\n' "$@" > arguments
        echo "$PET_SIGNALS_TO_HANDLE $TORCH_ELASTIC_SHUTDOWN_TIMEOUT" > variables
        trap 'exit 1' USR1
        echo $$ > pid; mv pid launcher.pid
        [ -e finishes ] && mkdir -p runs/mine/last
        [ -e waits ] && for _ in $(seq 200); do sleep 0.05; done
        exit 1""",
}


@pytest.fixture
def cluster(tmp_path: Path) -> dict[str, Any]:
    """A folder where Slurm's commands and the launcher are stubs: options of Popen for the script."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, body in STUBS.items():
        (commands / name).write_text(f"#!/bin/bash\n{body}\n")
        (commands / name).chmod(0o755)
    slurm = {"SLURM_JOB_ID": "42", "SLURM_JOB_NODELIST": "node[7-8]", "SLURM_NNODES": "2", "SLURM_GPUS_ON_NODE": "4"}
    return {"cwd": tmp_path, "env": {"PATH": f"{commands}:{os.environ['PATH']}", **slurm}}


def submit(cluster: dict[str, Any]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["bash", str(SLURM), "runs/mine", "--config", "quickstart"], **cluster)


def test_slurm_script_is_bash() -> None:
    subprocess.run(["bash", "-n", str(SLURM)], check=True)


def test_slurm_starts_a_launcher_on_each_node_that_goes_on_and_passes_signals_on(cluster: dict[str, Any]) -> None:
    submit(cluster).wait(timeout=20)
    given = (cluster["cwd"] / "arguments").read_text().split("\n")[:-1]
    parsed = launch_command_parser().parse_args(given[1:])
    assert given[0] == "launch"
    assert (FOLDER.parent / parsed.config_file).is_file()
    assert (parsed.num_machines, parsed.machine_rank, parsed.num_processes) == (2, 1, 8)
    assert (parsed.main_process_ip, parsed.training_script) == ("node7", "accel_asr/train.py")
    settings = ["--config", "quickstart", "--output_dir", "runs/mine", "--checkpoint.resume", "true"]
    assert parsed.training_script_args == settings
    signals, timeout_s = (cluster["cwd"] / "variables").read_text().split()
    assert "SIGUSR1" in signals.split(",")
    notice_s = int(SLURM.read_text().split("--signal=B:USR1@")[1].split()[0])
    assert 30 < int(timeout_s) < notice_s  # Slurm would kill first


def test_slurm_queues_again_after_a_stop_before_the_time_limit(cluster: dict[str, Any]) -> None:
    (cluster["cwd"] / "waits").touch()
    job = submit(cluster)
    deadline_s = time.monotonic() + 20
    while not (cluster["cwd"] / "launcher.pid").exists():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
    job.send_signal(signal.SIGUSR1)
    assert job.wait(timeout=20) == 0
    assert (cluster["cwd"] / "cancelled").read_text() == "--signal=USR1 42\n"
    assert (cluster["cwd"] / "requeued").read_text() == "requeue 42\n"


@pytest.mark.parametrize(("finishes", "code"), [(True, 0), (False, 1)], ids=["at its end", "failed"])
def test_slurm_does_not_queue_again_a_run_that_ended(cluster: dict[str, Any], finishes: bool, code: int) -> None:
    if finishes:
        (cluster["cwd"] / "finishes").touch()
    assert submit(cluster).wait(timeout=20) == code
    assert not (cluster["cwd"] / "requeued").exists()
