"""Run training many times from one process that has imported everything: a start costs a fork, not ten seconds.

`python -m tests.integration.forked_training` reads launches from stdin, one JSON object a line. For each it forks the
ranks, which run `accel_asr.train.main` with a launcher's environment variables, and ends some of them as asked. It
prints their exit codes, negative for a signal, as one JSON line.

A launch is {"settings": [...], "processes": n, "cwd": folder} and, where wanted:

- "ends": {"moment": MOMENT, "count": n, "signal": number, "rank": r, "twice": bool}: rank r (-1: all) gets the signal
  at the moment's n-th time, or after `count` seconds for the moment "time". With the signal 0 the rank raises a
  RuntimeError instead, or the OSError of `errno`, or what PyTorch raises on CUDA with {"out_of_memory": true}.
- "env": {name: value} sets environment variables, and "deadline_s" is for runs that take more than two minutes.
- "fsdp": true trains with sharded weights (`relabelled`).
- "reads_late": true reads the result of a step while the next is made, as on a GPU.
- "not_finite_at": n makes the loss of each rank's n-th micro-batch infinite.
- "fits": [rows of each rank] pretends that each has memory for a micro-batch of so many.
- "vanishes": [paths] removes these recordings after they were indexed.
- "at_clip": {"epoch": e, "name": NAME, "do": "hang" or "die"}: the data worker that loads this clip hangs and the rank
  gets SIGTERM, or the worker is killed.

No launch writes report.html, which takes longer than these runs do and has its own tests. Every rank appends to
`ledger.jsonl` in `cwd` which utterances it trained on in each finished step.
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
    import_everything()
    gc.freeze()  # or each child's garbage collection would copy all that was imported
    for line in sys.stdin:
        print(json.dumps(run_launch(json.loads(line))), flush=True)


def import_everything() -> None:
    """Import what `train` does and compute nothing, so that forking is safe."""
    import peft  # noqa: F401
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
    """Fork the ranks and wait for all; when one has failed, the others get GRACE_S, as from a launcher."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    pids = []
    for rank in range(launch["processes"]):
        pid = os.fork()
        if pid == 0:
            run_rank(launch, rank, port)
        pids.append(pid)
    ends = launch.get("ends")
    if ends and ends["moment"] == "time":
        time.sleep(ends["count"])
        for rank, pid in enumerate(pids):
            if ends["rank"] in (-1, rank):
                os.kill(pid, ends["signal"])
    codes: dict[int, int] = {}
    failed_s = 0.0
    deadline_s = time.monotonic() + launch.get("deadline_s", DEADLINE_S)
    while len(codes) < len(pids):
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid:
            codes[pid] = os.waitstatus_to_exitcode(status)
            if codes[pid] != 0 and not failed_s:
                failed_s = time.monotonic()
        elif failed_s and time.monotonic() > failed_s + launch.get("grace_s", GRACE_S):
            for running in set(pids) - set(codes):
                os.kill(running, signal.SIGKILL)
            failed_s = math.inf
        elif time.monotonic() > deadline_s:
            for running in set(pids) - set(codes):
                end_with_traces(running)
            raise TimeoutError(f"{launch} did not end in time")
        else:
            time.sleep(0.01)
    return [codes[pid] for pid in pids]


def run_rank(launch: dict[str, Any], rank: int, port: int) -> None:
    """Run as this rank; never returns."""
    os.chdir(launch["cwd"])
    log = os.open(f"rank{rank}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ |= launch.get("env", {})
    if launch["processes"] > 1:
        size = str(launch["processes"])
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    code = 1
    try:
        leave_out_the_report()
        keep_ledger(rank, settings=launch["settings"])
        if launch.get("reads_late"):
            from accel_asr.run import step_log

            step_log.DEVICES_READ_LATE = ("cpu",)
        if launch.get("not_finite_at"):
            let_loss_be_infinite(launch["not_finite_at"])
        if launch.get("fits"):
            let_fit(launch["fits"][rank])
        if launch.get("vanishes"):
            let_vanish(launch["vanishes"])
        if launch.get("at_clip"):
            let_worker_fail(**launch["at_clip"])
        if launch.get("fsdp"):
            from tests.integration.relabelled import pretend_to_shard

            pretend_to_shard()
        ends = launch.get("ends")
        if ends and ends["moment"] != "time" and ends["rank"] in (-1, rank):
            end_at(ends)
        from accel_asr.train import main as train_main

        code = train_main(launch["settings"])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def leave_out_the_report() -> None:
    """Let runs end without report.html."""
    from accel_asr import after_training

    after_training.report_finished_run = lambda *_, **__: None


def let_fit(rows: int) -> None:
    """Let steps of the memory probe, which are taken as always, need a unit for each row, of `rows` units."""
    from accel_asr.training.memory_probe import MemoryProbe

    find = MemoryProbe.largest_by_growth

    def needed_by(probe: MemoryProbe, micro_batch: int) -> int:
        probe.step(micro_batch)
        return micro_batch

    MemoryProbe.needed_by = needed_by  # type: ignore[method-assign]
    MemoryProbe.largest_by_growth = lambda probe, candidates, *, limit: find(probe, candidates, limit=rows)  # type: ignore[method-assign]


def let_loss_be_infinite(micro_batch: int) -> None:
    """That of the n-th micro-batch in training, with its gradient."""
    from accel_asr.training import step

    summed_loss, count = step._summed_loss, 0

    def spoilt(*arguments: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        loss = summed_loss(*arguments, **options)
        return loss * math.inf if count == micro_batch else loss

    step._summed_loss = spoilt


def let_vanish(paths: list[str]) -> None:
    """Remove these recordings after every rank has indexed them by their headers, before training."""
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
    """Let the process that loads this utterance in this epoch hang, or be killed as if memory had run out."""
    from accel_asr.data.loading.clip_items import ClipItems

    load = ClipItems.__getitem__

    def load_or_fail(items: ClipItems, key: tuple[int, int]) -> Any:
        if key[0] == epoch and items.utterances[key[1]].utterance_id.endswith(name):
            if do == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(2)  # the steps before it are done by then
            os.kill(os.getppid(), signal.SIGTERM)
            time.sleep(3600)
        return load(items, key)

    ClipItems.__getitem__ = load_or_fail  # type: ignore[method-assign]


def keep_ledger(rank: int, *, settings: list[str]) -> None:
    """Write down the utterances of each finished step, counted on from the checkpoint that was restored."""
    from accel_asr.training import step
    from accel_asr.training.saving import checkpoints

    start_step, restore = step.start_step, checkpoints.restore_checkpoint
    done = 0

    def counted_restore(folder: Path, **options: Any) -> Any:
        nonlocal done
        progress, notices = restore(folder, **options)
        done = progress.step
        return progress, notices

    def recorded_step(model: Any, optimizer: Any, window: Any, **options: Any) -> Any:
        nonlocal done
        started = start_step(model, optimizer, window, **options)
        done += 1
        with Path("ledger.jsonl").open("a") as ledger:
            ids = [utterance_id for batch in window for utterance_id in batch.utterance_ids]
            entry = {"step": done, "rank": rank, "ids": ids, "settings": settings[-1]}
            if masks := [clip.masks.tolist() for batch in window for clip in batch.masks]:
                entry["masks"] = masks  # SpecAugment's, of each id
            ledger.write(json.dumps(entry) + "\n")
        return started

    checkpoints.restore_checkpoint, step.start_step = counted_restore, recorded_step


def end_at(ends: dict[str, Any]) -> None:
    """Send this process the signal at the moment's n-th time."""
    import torch

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
            if count == ends["count"] and ends.get("out_of_memory"):
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            if count == ends["count"] and not ends["signal"]:
                raise RuntimeError("made to fail by the test")
            if count == ends["count"]:
                for _ in range(2 if ends.get("twice") else 1):
                    os.kill(os.getpid(), ends["signal"])
            return function(*arguments, **options)

        return wrapped

    if ends["moment"] == "step":  # with gradients partly accumulated
        step._summed_loss = before(step._summed_loss)
    elif ends["moment"] == "evaluation":
        generation._transcribe_batch = before(generation._transcribe_batch)
    elif ends["moment"] == "checkpoint":  # with some of its files written
        checkpoints.save_file = before(checkpoints.save_file)
    elif ends["moment"] == "rename":  # with all of them written, under the temporary name
        atomic_writes._flush_to_disk = before(atomic_writes._flush_to_disk)


def random_kill(rng: random.Random, processes: int) -> dict[str, Any]:
    """SIGKILL at a moment drawn at random, of one rank or of all."""
    moment = rng.choice(MOMENTS)
    maximum = {"step": 4, "evaluation": 2, "checkpoint": 6, "rename": 9, "time": 0.6}[moment]  # a few steps further
    count = rng.uniform(0.05, maximum) if moment == "time" else rng.randint(1, maximum)
    rank = rng.randint(-1, 0 if moment in ("checkpoint", "rename") else processes - 1)  # only the first rank writes
    return {"moment": moment, "count": count, "signal": int(signal.SIGKILL), "rank": rank}


if __name__ == "__main__":
    main()
