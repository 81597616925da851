"""Rows about data: the log-mel of a clip, and clips fetched to a batch. They need every package that we depend on."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch.utils.data import DataLoader

from benchmarks.speed import hand_written, seq2seq_trainer
from benchmarks.speed.material import RATE_HZ
from benchmarks.speed.model_rows import Bench
from benchmarks.speed.own_loop import indexed_items
from benchmarks.speed.results import Row, faster
from benchmarks.speed.timing import clock_of, cpu_time, in_turns

MORE_ROUNDS = 3  # times as many rounds as the others: these are short


def mel_rows(bench: Bench) -> list[Row]:
    """Log-mel of one clip, from int16 samples to the array that goes into a batch."""
    from accel_asr.audio.log_mel import log_mel

    material = bench.material
    samples = material.samples(0)

    def extractor() -> object:
        audio = samples.astype("float32") / 32_768
        return material.extractor(audio, sampling_rate=RATE_HZ).input_features[0]

    assert abs(log_mel(samples, material.extractor) - extractor()).max() < 1e-3
    ways = {"ours": lambda: log_mel(samples, material.extractor), "seed": extractor}
    times = in_turns(ways, rounds=MORE_ROUNDS * bench.rounds, clock=cpu_time, calls=5)
    bench.warmups["mel"] = times.warmup_s
    note = f"{material.size.clip_s:g} s clip; seed and trainer: WhisperFeatureExtractor, one clip at a time"
    return [replace(row, note=note) for row in faster("mel", times, unit="ms CPU")]


def batch_mel_rows(bench: Bench) -> list[Row]:
    """Log-mel of a batch, from int16 samples on the CPU to features on the device."""
    from accel_asr.audio.batch_log_mel import BatchLogMel
    from accel_asr.audio.log_mel import log_mel

    material, device = bench.material, bench.material.device
    clips = [material.samples(row) for row in range(bench.fetch_size)]
    samples = torch.from_numpy(np.stack(clips))
    log_mel_of_batch = BatchLogMel.of_extractor(material.extractor)

    def one_by_one() -> torch.Tensor:
        return torch.stack([torch.from_numpy(log_mel(clip, material.extractor)) for clip in clips]).to(device)

    def extractor() -> torch.Tensor:
        audio = [clip.astype("float32") / 32_768 for clip in clips]
        features = [material.extractor(clip, sampling_rate=RATE_HZ).input_features[0] for clip in audio]
        return torch.from_numpy(np.stack(features)).to(device)

    ways = {"ours": lambda: log_mel_of_batch(samples.to(device)), "ours, clip by clip": one_by_one, "seed": extractor}
    features, *others = (way() for way in ways.values())
    assert max(float((features - other).abs().max()) for other in others) < 1e-3
    times = in_turns(ways, rounds=bench.rounds, clock=clock_of(device))
    bench.warmups["mel of a batch"] = times.warmup_s
    note = f"{len(clips)} clips of {material.size.clip_s:g} s; ours: by torch on the device that trains"
    return [replace(row, note=note) for row in faster("mel of a batch", times, unit="ms")]


def fetch_rows(bench: Bench) -> list[Row]:
    """From the stored rows to one batch on the CPU, in the loop's own process."""
    material, size = bench.material, bench.fetch_size
    items, _ = indexed_items(material, size, validation_rows=1)
    dataset = hand_written.prepared_dataset(material, size)
    collate = hand_written.collate(material)
    computed = seq2seq_trainer.ComputedRows(material, range(size))
    ways = {
        "ours": lambda: next(iter(_loader(items, material.collator, [(0, row) for row in range(size)]))),
        "seed": lambda: next(iter(_loader(dataset, collate, range(size)))),
        "trainer": lambda: next(iter(_loader(computed, seq2seq_trainer.collate, range(size)))),
    }
    assert abs(ways["ours"]().input_features - ways["seed"]()["input_features"]).max() < 1e-3
    times = in_turns(ways, rounds=MORE_ROUNDS * bench.rounds, clock=cpu_time)
    bench.warmups["fetch"] = times.warmup_s
    note = f"{size} clips; ours and trainer compute log-mel, seed reads floats from Arrow"
    return [replace(row, note=note) for row in faster("fetch", times, unit="ms CPU")]


def _loader(rows: object, collate: object, keys: Sequence[object]) -> DataLoader:
    return DataLoader(rows, batch_sampler=[list(keys)], collate_fn=collate)  # type: ignore[arg-type]
