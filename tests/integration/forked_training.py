"""Run training many times from one process that has imported everything: a start costs a fork, not ten seconds.

`python -m tests.integration.forked_training PLAN.json` forks a process for each rank, which runs `accel_asr.train.main`
as a launcher's child would, with the launcher's environment variables; then ends some of them, as the plan says.
It prints one JSON line for each launch: the exit codes of the ranks, negative for a signal.

A plan is a list of launches: {"settings": [...], "processes": n, "ends": END or null, "cwd": folder}. An END is
{"moment": MOMENT, "count": n, "signal": number, "rank": r, "twice": bool}: the signal reaches rank r (-1: all) when it
comes to the moment for the n-th time, or after `count` seconds for the moment "time". With the signal 0 the rank raises
a RuntimeError instead, or the OSError of `errno` if that is there. A launch with "fsdp": true trains with sharded
weights (`relabelled`), and one with "vanishes": [paths] loses these recordings after they were indexed. With
"at_clip": {"epoch": e, "name": NAME, "do": "hang" or "die"} a data worker hangs there, and then the rank gets SIGTERM,
or the worker is killed. None writes report.html, which takes longer than these runs do and has tests of its own.

Every rank appends to `ledger.jsonl` in `cwd` which utterances it trained on in which step, once the step is done.
"""

import gc
import json
import math
import os
import random
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.integration.launching import end_with_traces

MOMENTS = ("step", "evaluation", "checkpoint", "rename", "time")
DEADLINE_S = 120
GRACE_S = 5


def main() -> None:
    plan = json.loads(Path(sys.argv[1]).read_text())
    import_everything()
    gc.freeze()  # else each child's collections copy all that was imported
    for launch in plan:
        started_s = time.monotonic()
        codes = run_launch(launch)
        print(json.dumps({"codes": codes, "seconds": round(time.monotonic() - started_s, 1)}), flush=True)


def import_everything() -> None:
    """What `train` imports; nothing is computed, so that forking is safe."""
    import torch
    from torch.utils import tensorboard  # noqa: F401
    from transformers import WhisperForConditionalGeneration, WhisperProcessor, pipeline  # noqa: F401

    import accel_asr.after_training
    import accel_asr.run.opening
    import accel_asr.run.prepared_model
    import accel_asr.run.run_checkpoints
    import accel_asr.run.step_log
    import accel_asr.train
    import accel_asr.training.encoder_filling
    import accel_asr.training.launch.topology  # noqa: F401

    torch.set_num_threads(1)


def run_launch(launch: dict[str, Any]) -> list[int]:
    """Fork the ranks, wait for all of them; when one has failed, give the others GRACE_S, as a launcher does."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    pids = []
    for rank in range(launch["processes"]):
        pid = os.fork()
        if pid == 0:
            run_rank(launch, rank, port)
        pids.append(pid)
    ends = launch["ends"]
    if ends and ends["moment"] == "time":
        time.sleep(ends["count"])
        for rank, pid in enumerate(pids):
            if ends["rank"] in (-1, rank):
                os.kill(pid, ends["signal"])
    codes: dict[int, int] = {}
    failed_s = 0.0
    deadline_s = time.monotonic() + DEADLINE_S
    while len(codes) < len(pids):
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid:
            codes[pid] = os.waitstatus_to_exitcode(status)
            if codes[pid] != 0 and not failed_s:
                failed_s = time.monotonic()
        elif failed_s and time.monotonic() > failed_s + launch.get("grace_s", GRACE_S):
            for left in set(pids) - set(codes):
                os.kill(left, signal.SIGKILL)
            failed_s = math.inf
        elif time.monotonic() > deadline_s:
            for left in set(pids) - set(codes):
                end_with_traces(left)
            raise TimeoutError(f"{launch} did not end in {DEADLINE_S} s")
        else:
            time.sleep(0.01)
    return [codes[pid] for pid in pids]


def run_rank(launch: dict[str, Any], rank: int, port: int) -> None:
    """Be one rank; never returns."""
    os.chdir(launch["cwd"])
    log = os.open(f"rank{rank}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if launch["processes"] > 1:
        size = str(launch["processes"])
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    code = 1
    try:
        leave_out_the_report()
        keep_ledger(rank, settings=launch["settings"])
        if launch.get("vanishes"):
            let_vanish(launch["vanishes"])
        if launch.get("at_clip"):
            let_worker_fail(**launch["at_clip"])
        if launch.get("fsdp"):
            from tests.integration.relabelled import pretend_to_shard

            pretend_to_shard()
        ends = launch["ends"]
        if ends and ends["moment"] != "time" and ends["rank"] in (-1, rank):
            end_at(ends)
        from accel_asr import train

        code = train.main(launch["settings"])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def leave_out_the_report() -> None:
    """End the run without it."""
    from accel_asr import after_training

    after_training.report_finished_run = lambda *_, **__: None


def let_vanish(paths: list[str]) -> None:
    """Remove these recordings when every rank has indexed them, and is about to train on them.

    As of a large set, only headers are read before training.
    """
    from accel_asr.data.indexing import index_building
    from accel_asr.run import job

    index_building.DECODED_UP_FRONT_S = 0.0
    windows = job.Job.windows

    def without_them(*arguments: Any, **options: Any) -> Any:
        for path in paths:
            Path(path).unlink(missing_ok=True)
        return windows(*arguments, **options)

    job.Job.windows = without_them


def let_worker_fail(*, epoch: int, name: str, do: str) -> None:
    """Let whoever loads this utterance in this epoch hang, or be killed as for want of memory."""
    from accel_asr.data.loading.batches import ClipItems

    load = ClipItems.__getitem__

    def load_or_fail(items: ClipItems, key: tuple[int, int]) -> Any:
        if key[0] == epoch and items.utterances[key[1]].utterance_id.endswith(name):
            if do == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(2)  # by then the steps before are made
            os.kill(os.getppid(), signal.SIGTERM)
            time.sleep(3600)
        return load(items, key)

    ClipItems.__getitem__ = load_or_fail  # type: ignore[method-assign]


def keep_ledger(rank: int, *, settings: list[str]) -> None:
    """Write down what each finished step was trained on. The step is counted from the newest checkpoint on."""
    from accel_asr.training import step
    from accel_asr.training.saving import checkpoints

    train_step, restore = step.train_step, checkpoints.restore_checkpoint
    done = 0

    def counted_restore(folder: Path, **options: Any) -> Any:
        nonlocal done
        progress, notices = restore(folder, **options)
        done = progress.step
        return progress, notices

    def recorded_step(model: Any, optimizer: Any, window: Any, **options: Any) -> Any:
        nonlocal done
        result = train_step(model, optimizer, window, **options)
        done += 1
        with Path("ledger.jsonl").open("a") as ledger:
            ids = [utterance_id for batch in window for utterance_id in batch.utterance_ids]
            ledger.write(json.dumps({"step": done, "rank": rank, "ids": ids, "settings": settings[-1]}) + "\n")
        return result

    checkpoints.restore_checkpoint, step.train_step = counted_restore, recorded_step


def end_at(ends: dict[str, Any]) -> None:
    """Send this process the signal when it comes to the moment for the n-th time."""
    from accel_asr.evaluation import generation
    from accel_asr.files import atomic_writes
    from accel_asr.training import step
    from accel_asr.training.saving import checkpoints

    count = 0

    def before(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count == ends["count"] and ends.get("errno"):
                raise OSError(ends["errno"], os.strerror(ends["errno"]))
            if count == ends["count"] and not ends["signal"]:
                raise RuntimeError("made to fail by the test")
            if count == ends["count"]:
                for _ in range(2 if ends.get("twice") else 1):
                    os.kill(os.getpid(), ends["signal"])
            return function(*arguments, **options)

        return wrapped

    if ends["moment"] == "step":  # with gradients half summed up
        step._summed_loss = before(step._summed_loss)
    elif ends["moment"] == "evaluation":
        generation._transcribe_batch = before(generation._transcribe_batch)
    elif ends["moment"] == "checkpoint":  # with some of its files there
        checkpoints.save_file = before(checkpoints.save_file)
    elif ends["moment"] == "rename":  # with all of them there, under the other name
        atomic_writes._flush_to_disk = before(atomic_writes._flush_to_disk)


def random_kill(rng: random.Random, processes: int) -> dict[str, Any]:
    """SIGKILL at a moment drawn at random, of one rank or of all."""
    moment = rng.choice(MOMENTS)
    most = {"step": 4, "evaluation": 2, "checkpoint": 6, "rename": 9, "time": 0.6}[moment]  # a few steps further
    count = rng.uniform(0.05, most) if moment == "time" else rng.randint(1, most)
    rank = rng.randint(-1, 0 if moment in ("checkpoint", "rename") else processes - 1)  # only the first rank writes
    return {"moment": moment, "count": count, "signal": int(signal.SIGKILL), "rank": rank}


if __name__ == "__main__":
    main()
