"""Bytes that a step of two gloo ranks receives, counted by the kernel in each TCP connection of the process.

`python -m torch.distributed.run --standalone --nproc_per_node 2 -m benchmarks.speed.communication FOLDER SIZE` is one
measurement; `communication_rows` starts it.
"""

import json
import os
import socket
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.speed.hand_written import HandWritten
from benchmarks.speed.material import SIZES, Material
from benchmarks.speed.model_rows import Bench, as_labels
from benchmarks.speed.own_loop import Own
from benchmarks.speed.results import Row, exact

RANKS, ACCUMULATION_STEPS = 2, 2
BYTES_RECEIVED = 128  # where struct tcp_info has tcpi_bytes_received, a 64-bit number
MARK = "bytes of rank 0: "


def communication_rows(bench: Bench) -> list[Row]:
    """Two ranks, two micro-batches each: what one rank receives in a step, against 2 (N - 1) / N x gradient bytes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(RANKS)]
    command += ["-m", "benchmarks.speed.communication", str(bench.folder), bench.material.size.name]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"the two ranks failed:\n{done.stderr[-3000:]}")
    [line] = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    counts = json.loads(line.removeprefix(MARK))
    assert counts["ranks"] == RANKS
    formula_mb = 2 * (RANKS - 1) / RANKS * counts["gradient_bytes"] / 1e6
    rows = [exact("bytes of a step, two ranks", "formula", "MB", counts["ours"] / 1e6, formula_mb)]
    rows.append(exact("bytes of a step, two ranks", "seed", "MB", counts["ours"] / 1e6, counts["seed"] / 1e6))
    note = f"{ACCUMULATION_STEPS} micro-batches a step; received by one rank, over gloo on loopback"
    return [replace(row, note=note) for row in rows]


def received_bytes() -> int:
    """Bytes received so far by all TCP connections of this process."""
    total = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
            copy = os.dup(int(name))
        except OSError:  # the listing's own descriptor is closed by now
            continue
        with socket.socket(fileno=copy) as connection:
            if connection.family in (socket.AF_INET, socket.AF_INET6) and connection.type == socket.SOCK_STREAM:
                tcp_info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
                total += int(struct.unpack_from("@Q", tcp_info, BYTES_RECEIVED)[0])
    return total


def main() -> None:
    """One rank: counts the second step of each way, since DDP reorders its buckets after the first."""
    folder, size = Path(sys.argv[1]), SIZES[sys.argv[2]]
    torch.set_num_threads(1)
    material = Material(folder, size, device=torch.device("cpu"))  # the parent has written the model
    own = Own(material, mixed_precision="no")
    rank = own.accelerator.process_index
    items = material.items(RANKS * ACCUMULATION_STEPS)
    batches = [material.collator([item]) for item in items[rank::RANKS]]
    seed = HandWritten(material, mixed_precision="no")
    gradient_bytes = sum(p.numel() * p.element_size() for p in own.unwrapped.parameters() if p.requires_grad)
    seed.model = torch.nn.parallel.DistributedDataParallel(seed.model)
    counted = {}
    for name, step in (
        ("ours", lambda: own.train_step(batches)),
        ("seed", lambda: seed.train_step([as_labels(batch) for batch in batches])),
    ):
        step()
        own.accelerator.wait_for_everyone()
        before = received_bytes()
        step()
        counted[name] = received_bytes() - before
        own.accelerator.wait_for_everyone()
    if rank == 0:
        ranks = own.accelerator.num_processes
        print(MARK + json.dumps({**counted, "gradient_bytes": gradient_bytes, "ranks": ranks}), flush=True)
    own.accelerator.wait_for_everyone()
    os._exit(0)  # the process group is not taken down: DDP's reducers still hold it


if __name__ == "__main__":
    main()
