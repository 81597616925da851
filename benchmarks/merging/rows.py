"""Rows of the tables: computed clip by clip, kept in a folder, and compared with the whole window."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch

from accel_asr.evaluation.intervals import paired_difference
from accel_asr.evaluation.normalizers import Normalizer
from accel_asr.evaluation.scoring import ScoredUtterance, Transcript, error_rate, score_utterance
from accel_asr.model.silence_merging import encode_clips
from benchmarks.merging.clips import Clip
from benchmarks.merging.hearing import Heard, Listener, Way, cosine
from benchmarks.speed.timing import cpu_time, in_turns, ratio

BATCH = 8
ROUNDS = 5

AGREEMENT = ["clips", "way", "mean length", "positions", "same as written", "same normalised", "WER whole", "WER"]
AGREEMENT += ["difference (95% interval)"]
ENDS = "end of speech"
GRADIENT = ["way", "gradient: cosine of all weights", "of the encoder's"]
DIVERGENCE = ["clips", "way", "positions", "divergence of the next token, nats", "same likeliest token"]
TIMES = ["clips", "way", "mean length", "encoder", "training step"]


Tokens = list[torch.Tensor]


class Results:
    """JSON lines in a folder, by name of a file and a key; what is there is not computed again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def read(self, name: str) -> dict[str, dict[str, Any]]:
        path = self.folder / f"{name}.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return {row.pop("key"): row for row in map(json.loads, lines)}

    def add(self, name: str, key: str, row: dict[str, Any]) -> None:
        with (self.folder / f"{name}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": key, **row}, ensure_ascii=False) + "\n")


def transcripts(listener: Listener, set_name: str, clips: Sequence[Clip], way: Way, results: Results) -> list[Heard]:
    """Of all clips; what is missing is heard in batches of like length and one language."""
    name = f"{set_name}--{way.name}"
    known = results.read(name)
    missing = [clip for clip in clips if clip.clip_id not in known]
    missing.sort(key=lambda clip: (clip.language, clip.seconds))
    for _, of_language in groupby(missing, key=lambda clip: clip.language):
        alike = list(of_language)
        for first in range(0, len(alike), BATCH):
            for heard in listener.transcribe(alike[first : first + BATCH], way):
                results.add(name, heard.clip_id, asdict(heard))
    known = results.read(name)
    return [Heard(**known[clip.clip_id]) for clip in clips]


def agreement(
    clips: Sequence[Clip], merged: Sequence[Heard], whole: Sequence[Heard], normalize: Normalizer
) -> list[str]:
    """How many transcripts are the same, and both word error rates, if it is known what is said in the clips."""
    scored, of_whole = _scores(clips, merged, normalize), _scores(clips, whole, normalize)
    as_written = sum(one.text == other.text for one, other in zip(merged, whole, strict=True))
    normalised = sum(a.hypothesis_normalized == b.hypothesis_normalized for a, b in zip(scored, of_whole, strict=True))
    cells = [f"{same} of {len(clips)} ({100 * same / len(clips):.1f}%)" for same in (as_written, normalised)]
    if not any(utterance.words for utterance in of_whole):
        return [*cells, "", "", ""]
    rates = (error_rate([utterance.words for utterance in each]) for each in (of_whole, scored))
    difference = paired_difference(scored, of_whole)
    low, high = (100 * bound for bound in difference.interval)
    cells += [f"{100 * rate:.2f}%" for rate in rates]
    return [*cells, f"{100 * difference.difference:+.2f} ({low:+.2f} to {high:+.2f})"]


def ends_of_speech(merged: Sequence[Heard], whole: Sequence[Heard]) -> str:
    """How the last times of the transcripts differ, where both have one."""
    pairs = zip(merged, whole, strict=True)
    ends = [abs(a.end_s - b.end_s) for a, b in pairs if a.end_s is not None and b.end_s is not None]
    near = sum(end < 0.11 for end in ends)
    return f"{sum(end < 0.01 for end in ends)} of {len(ends)} equal, {near} within 0.1 s, mean {np.mean(ends):.2f} s"


def gradient(
    listener: Listener, clips: Sequence[Clip], way: Way, whole: Callable[[], dict[str, torch.Tensor]], results: Results
) -> list[str]:
    """Cosine to the whole window's gradient: of all weights, and of the encoder's."""
    key = f"{way.name}, {len(clips)} clips"
    if key not in results.read("gradients"):
        ours = listener.gradient(clips, way)
        of_encoder = cosine(ours, whole(), lambda name: name.startswith("model.encoder."))
        results.add("gradients", key, {"all": cosine(ours, whole()), "encoder": of_encoder})
    cosines = results.read("gradients")[key]
    return [f"{cosines['all']:.4f}", f"{cosines['encoder']:.4f}"]


def divergence(
    listener: Listener, clips: Sequence[Clip], way: Way, results: Results, *, name: str, whole: Callable[[], Tokens]
) -> list[str]:
    """From the whole window's probabilities of the next token, the clips' texts given: KL in nats, and how often the
    likeliest token is the same.

    Args:
        name: Of the set of clips.
        whole: Of each clip the log-probabilities, (tokens, vocabulary).
    """
    key = f"{name}, {way.name}, {len(clips)} clips"
    if key not in results.read("divergence"):
        pairs = [(right, listener.next_tokens(clip, way)) for clip, right in zip(clips, whole(), strict=True)]
        nats = torch.cat([(right.exp() * (right - ours)).sum(-1) for right, ours in pairs])
        same = torch.cat([ours.argmax(-1) == right.argmax(-1) for right, ours in pairs])
        results.add("divergence", key, {"nats": float(nats.mean()), "same": float(same.float().mean())})
    row = results.read("divergence")[key]
    return [f"{row['nats']:.5f}", f"{100 * row['same']:.2f}%"]


def times(listener: Listener, set_name: str, clips: Sequence[Clip], way: Way, results: Results) -> list[str]:
    """Processor time of the encoder and of a training step (forward, backward, AdamW), as ratios to the whole window's,
    with their 95% interval over the rounds."""
    key = f"{set_name}, {way.name}, {len(clips)} clips"
    if key not in results.read("times"):
        optimizer = torch.optim.AdamW(listener.model.parameters(), lr=0.0, weight_decay=0.0)

        @torch.no_grad()
        def encode(as_heard: Way) -> None:
            encode_clips(listener.model, *listener.inputs(clips, as_heard))

        def step(as_heard: Way) -> None:
            listener.summed_loss(clips, as_heard).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        results.add("times", key, {"encoder": _ratio(encode, way), "step": _ratio(step, way)})
    measured = results.read("times")[key]
    return ["{:.2f}x ({:.2f} to {:.2f})".format(*measured[name]) for name in ("encoder", "step")]


def _ratio(work: Callable[[Way], None], way: Way) -> tuple[float, float, float]:
    whole = Way.parse("whole")
    seconds = in_turns({"way": lambda: work(way), "whole": lambda: work(whole)}, rounds=ROUNDS, clock=cpu_time).rounds_s
    measured = ratio(seconds["way"], seconds["whole"])
    return measured.median, measured.low, measured.high


def _scores(clips: Sequence[Clip], heard: Sequence[Heard], normalize: Normalizer) -> list[ScoredUtterance]:
    written = [
        Transcript(clip.clip_id, clip.seconds, clip.text or "", each.text, cut_off=False)
        for clip, each in zip(clips, heard, strict=True)
    ]
    return [score_utterance(transcript, normalize) for transcript in written]
