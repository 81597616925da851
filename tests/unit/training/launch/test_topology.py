"""Starting Accelerate: launcher and run agree, or it is said which of the two to change."""

from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType

from accel_asr.config.training_settings import TrainingConfig
from accel_asr.errors import UserError
from accel_asr.training.launch import topology
from accel_asr.training.launch.topology import accelerator_of_run, start_accelerator
from tests.conftest import forget_accelerate
from tests.refusals import refused

PRECISION = "ACCELERATE_MIXED_PRECISION"
ACCUMULATION = "ACCELERATE_GRADIENT_ACCUMULATION_STEPS"


@pytest.fixture(autouse=True)
def fresh_process(monkeypatch: pytest.MonkeyPatch):
    """A process without accelerator, in which Accelerate has not started."""
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    forget_accelerate()
    yield
    forget_accelerate()


def start(tmp_path, *, mixed_precision: str | None = None, accumulation: int = 1, seed: int = 0):
    return start_accelerator(
        mixed_precision=mixed_precision,
        gradient_accumulation_steps=accumulation,
        seed=seed,
    )


def refusal(tmp_path, **options) -> UserError:
    with pytest.raises(UserError) as caught:
        start(tmp_path, **options)
    return caught.value


def test_alone_it_is_one_process_in_fp32_on_the_cpu(tmp_path) -> None:
    accelerator = start(tmp_path)
    assert (accelerator.num_processes, accelerator.mixed_precision, accelerator.device.type) == (1, "no", "cpu")
    assert accelerator.scaler is None


def test_the_generators_are_seeded(tmp_path) -> None:
    start(tmp_path, seed=7)
    first = float(torch.rand(()))
    forget_accelerate()
    start(tmp_path, seed=7)
    assert float(torch.rand(())) == first
    torch.manual_seed(7)
    assert float(torch.rand(())) == first


# -- what the settings of a run ask of the launch


def test_a_global_batch_that_these_processes_can_not_share_is_refused_at_once() -> None:
    with refused("--training.global_batch_size", value=10, remedy="give 9 or 12"):
        accelerator_of_run(TrainingConfig(global_batch_size=10, per_device_train_batch_size=3), frozen_dtype="float32")


def test_frozen_weights_in_bf16_need_a_training_in_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    with refused("--model.frozen_dtype", "bf16", value="bfloat16", remedy="--training.mixed_precision bf16"):
        accelerator_of_run(TrainingConfig(), frozen_dtype="bfloat16")
    forget_accelerate()
    monkeypatch.setenv(PRECISION, "bf16")  # the launcher's choice
    assert accelerator_of_run(TrainingConfig(), frozen_dtype="bfloat16").mixed_precision == "bf16"


@pytest.mark.parametrize(
    ("training", "frozen_dtype", "setting"),
    [
        (TrainingConfig(batch_size="auto"), "float32", "--training.batch_size"),
        (TrainingConfig(mixed_precision="bf16"), "bfloat16", "--model.frozen_dtype"),
    ],
)
def test_what_sharded_weights_can_not_do(
    monkeypatch: pytest.MonkeyPatch, training: TrainingConfig, frozen_dtype: str, setting: str
) -> None:
    accelerator_of_run(training, frozen_dtype=frozen_dtype)
    forget_accelerate()
    monkeypatch.setattr(topology, "is_sharded", lambda _: True)
    with refused(setting, "shard"):
        accelerator_of_run(training, frozen_dtype=frozen_dtype)


def test_attention_is_not_left_to_cudnn(tmp_path) -> None:
    # merged padding gives attention a mask and multiples of 64 keys, for which its gradients may be NaN
    torch.backends.cuda.enable_cudnn_sdp(True)
    start(tmp_path)
    assert not torch.backends.cuda.cudnn_sdp_enabled()
    assert torch.backends.cuda.flash_sdp_enabled()
    assert torch.backends.cuda.mem_efficient_sdp_enabled()


# -- precision


@pytest.mark.parametrize("launched", [None, "no", "fp16"])
def test_fp16_on_a_cpu_is_refused(tmp_path, monkeypatch: pytest.MonkeyPatch, launched: str | None) -> None:
    if launched:
        monkeypatch.setenv(PRECISION, launched)
    error = refusal(tmp_path, mixed_precision=None if launched == "fp16" else "fp16")
    assert (error.setting, error.value, error.remedy) == ("--training.mixed_precision", "fp16", "use no")
    assert "needs an accelerator" in error.problem


def test_fp16_is_refused_where_the_launcher_chose_the_cpu_of_a_machine_with_an_accelerator(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")  # as launch_configs/cpu.yaml does
    assert "needs an accelerator" in refusal(tmp_path, mixed_precision="fp16").problem


@pytest.mark.parametrize(
    ("launched", "asked", "expected"),
    [(None, None, "no"), ("bf16", None, "bf16"), ("no", "bf16", "bf16"), ("bf16", "bf16", "bf16"), (None, "no", "no")],
)
def test_the_run_or_the_launcher_chooses_the_precision(
    tmp_path, monkeypatch: pytest.MonkeyPatch, launched: str | None, asked: str | None, expected: str
) -> None:
    if launched:
        monkeypatch.setenv(PRECISION, launched)
    assert start(tmp_path, mixed_precision=asked).mixed_precision == expected


@pytest.mark.parametrize(("launched", "asked"), [("bf16", "no"), ("fp16", "bf16"), ("fp8", "bf16")])
def test_two_different_precisions_are_refused_naming_both(
    tmp_path, monkeypatch: pytest.MonkeyPatch, launched: str, asked: str
) -> None:
    monkeypatch.setenv(PRECISION, launched)
    error = refusal(tmp_path, mixed_precision=asked)
    assert (error.setting, error.value) == ("--training.mixed_precision", asked)
    assert launched in error.problem


# -- accumulation


def test_accumulation_belongs_to_the_run(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ACCUMULATION, "4")
    error = refusal(tmp_path, accumulation=2)
    assert (error.setting, error.value) == ("--training.gradient_accumulation_steps", 2)
    assert "4" in error.problem


@pytest.mark.parametrize("launched", ["1", "4"])
def test_accelerate_never_divides_by_it_itself(tmp_path, monkeypatch: pytest.MonkeyPatch, launched: str) -> None:
    monkeypatch.setenv(ACCUMULATION, launched)
    assert start(tmp_path, accumulation=4).gradient_accumulation_steps == 1


# -- processes


@pytest.mark.parametrize(("launched", "seen"), [("2", 1), ("1", 2)])
def test_processes_that_do_not_see_each_other_are_stopped(
    tmp_path, monkeypatch: pytest.MonkeyPatch, launched: str, seen: int
) -> None:
    monkeypatch.setattr(topology, "Accelerator", lambda **_: SimpleNamespace(num_processes=seen))
    monkeypatch.setenv("WORLD_SIZE", launched)
    error = refusal(tmp_path)
    assert (error.setting, error.value) == ("WORLD_SIZE", int(launched))
    assert f"sees {seen}" in error.problem
    assert "--multi_gpu --num_processes N" in str(error.remedy)


def test_a_machine_without_accelerator_asks_for_the_cpu(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    # without cpu=True two ranks would each believe to be alone
    asked = []
    started = SimpleNamespace(num_processes=1, distributed_type=DistributedType.NO)
    monkeypatch.setattr(topology, "Accelerator", lambda **options: asked.append(options) or started)
    start(tmp_path)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    start(tmp_path, mixed_precision="fp16")
    assert [options["cpu"] for options in asked] == [True, False]


@pytest.mark.parametrize(
    ("has_gpu", "launched", "backend"),
    [(False, "2", None), (True, "1", None), (True, "2", "cuda:nccl,cpu:gloo")],
    ids=["two on the CPU", "one GPU", "two GPUs"],
)
def test_hosts_of_several_gpus_talk_beside_them(
    monkeypatch: pytest.MonkeyPatch, has_gpu: bool, launched: str, backend: str | None
) -> None:
    asked = []
    started = SimpleNamespace(num_processes=int(launched), distributed_type=DistributedType.NO)
    monkeypatch.setattr(topology, "Accelerator", lambda **options: asked.extend(options["kwargs_handlers"]) or started)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: has_gpu)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    monkeypatch.setenv("WORLD_SIZE", launched)
    start_accelerator(mixed_precision=None, gradient_accumulation_steps=1, seed=0)
    options = {name: value for handler in asked for name, value in handler.to_kwargs().items()}
    assert options.get("backend") == backend
    assert options["gradient_as_bucket_view"] is True


# -- engines


def test_deepspeed_is_refused_for_what_shards_as_much(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    for has_accelerator in (False, True):
        monkeypatch.setattr(torch.accelerator, "is_available", lambda has=has_accelerator: has)
        error = refusal(tmp_path)
        assert error.value == "DEEPSPEED"
        assert "launch_configs/fsdp2.yaml" in str(error.remedy)


def test_fsdp_on_a_cpu_is_refused(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    error = refusal(tmp_path)
    assert error.value == "FSDP"
    assert "launch_configs/cpu_2_processes.yaml" in str(error.remedy)


def test_accelerate_trains_ddp_where_fsdp_is_asked_of_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert Accelerator(cpu=True).distributed_type != DistributedType.FSDP


# -- the network between ranks of one machine


@pytest.mark.parametrize(
    ("local", "world", "interface"), [("2", "2", "lo"), ("1", "2", None)], ids=["one machine", "two machines"]
)
def test_ranks_of_one_machine_talk_over_loopback(monkeypatch, local: str, world: str, interface: str | None) -> None:
    monkeypatch.setattr(topology.socket, "if_nameindex", lambda: [(1, "lo"), (2, "eth0")])
    monkeypatch.setenv("LOCAL_WORLD_SIZE", local)
    monkeypatch.setenv("WORLD_SIZE", world)
    monkeypatch.delenv("GLOO_SOCKET_IFNAME", raising=False)
    topology._talk_over_loopback()
    assert topology.os.environ.get("GLOO_SOCKET_IFNAME") == interface


def test_the_users_interface_stands(monkeypatch) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "eth1")
    topology._talk_over_loopback()
    assert topology.os.environ["GLOO_SOCKET_IFNAME"] == "eth1"


@pytest.mark.parametrize("fast", [True, False])
def test_bf16_on_a_cpu_without_its_instructions_is_noted(
    tmp_path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fast: bool
) -> None:
    monkeypatch.setattr(topology, "emulates_bf16_on_cpu", lambda: not fast)
    start(tmp_path, mixed_precision="bf16")
    assert ("note: training.mixed_precision: bf16 is slower" in capsys.readouterr().err) is not fast


def test_a_launch_that_can_not_work_is_refused_before_accelerate_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topology, "Accelerator", lambda **_: pytest.fail("started"))
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 1)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with refused("--num_processes"):
        start_accelerator(mixed_precision=None, gradient_accumulation_steps=1, seed=0)
    monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", "INDUCTOR")
    with refused("dynamo_backend"):
        start_accelerator(mixed_precision=None, gradient_accumulation_steps=1, seed=0)


def test_more_processes_than_gpus_may_train_on_the_cpu(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 0)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert start(tmp_path).device.type == "cpu"
