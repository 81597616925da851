"""What merged padding costs and saves, on real weights: `python -m benchmarks.merging MODEL DATA...`.

DATA are folders of real clips with `manifest.jsonl` (`file`, `text`, `language`, `speaker`). A row is a set of clips and
a way of hearing them, compared with the whole window on the same clips: how many greedy transcripts are the same, letter
for letter and normalised, the word error rates with the paired 95% interval of their difference, and how many of the
encoder's positions are computed. `--gradient` adds the cosine of the summed gradient of so many clips to the whole
window's; `--times` the processor time of encoder and training step as ratios, measured in turns.

All results are kept in `--folder` as they come; what is there is not computed again.
"""

import argparse
import functools
import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

import numpy as np
import torch

from accel_asr.evaluation.intervals import paired_difference
from accel_asr.evaluation.normalizers import Normalizer, load_normalizer
from accel_asr.evaluation.scoring import ScoredUtterance, Transcript, error_rate, score_utterance
from accel_asr.model.pretrained import configure_generation, load_model_and_processor
from accel_asr.model.silence_merging import encode_clips
from benchmarks.merging.clips import SETS, Clip, Recording, clips_of, read_recordings
from benchmarks.merging.hearing import MOST_NEW_TOKENS, WORDS, Heard, Listener, Way, cosine
from benchmarks.speed.timing import cpu_time, in_turns, ratio

BATCH = 8
TIMED_CLIPS = 4
ROUNDS = 7


class Results:
    """JSON lines in a folder, by name of a file and a key; what is there is not computed again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def read(self, name: str) -> dict[str, dict[str, object]]:
        path = self.folder / f"{name}.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return {row["key"]: row for row in map(json.loads, lines)}

    def add(self, name: str, key: str, row: dict[str, object]) -> None:
        with (self.folder / f"{name}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": key, **row}, ensure_ascii=False) + "\n")


def transcripts(listener: Listener, set_name: str, clips: Sequence[Clip], way: Way, results: Results) -> list[Heard]:
    """Of all clips; in batches of like length and one language."""
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
    return [Heard(clip.clip_id, str(row["text"]), row["end_s"]) for clip in clips if (row := known[clip.clip_id])]


def scores(clips: Sequence[Clip], heard: Sequence[Heard], normalize: Normalizer) -> list[ScoredUtterance]:
    """Against the clips' texts; without a rate where that is not known."""
    return [
        score_utterance(Transcript(clip.clip_id, clip.seconds, clip.text or "", each.text, cut_off=False), normalize)
        for clip, each in zip(clips, heard, strict=True)
    ]


def agreement_row(
    set_name: str,
    way: Way,
    clips: Sequence[Clip],
    merged: Sequence[Heard],
    whole: Sequence[Heard],
    *,
    normalize: Normalizer,
    kept: float,
) -> str:
    """A line of the table."""
    as_written = sum(one.text == other.text for one, other in zip(merged, whole, strict=True))
    scored, of_whole = scores(clips, merged, normalize), scores(clips, whole, normalize)
    normalised = sum(a.hypothesis_normalized == b.hypothesis_normalized for a, b in zip(scored, of_whole, strict=True))
    cells = [set_name, way.name, f"{np.mean([c.seconds for c in clips]):.1f} s", f"{kept:.0f}"]
    cells += [f"{same} of {len(clips)} ({100 * same / len(clips):.1f}%)" for same in (as_written, normalised)]
    if any(utterance.words for utterance in of_whole):
        rates = (error_rate([utterance.words for utterance in each]) for each in (of_whole, scored))
        difference = paired_difference(scored, of_whole)
        low, high = (100 * bound for bound in difference.interval)
        cells += [f"{100 * rate:.2f}%" for rate in rates]
        cells.append(f"{100 * difference.difference:+.2f} ({low:+.2f} to {high:+.2f})")
    else:
        cells += ["", "", ""]
    if way.is_timed:
        ends = [
            abs(one.end_s - other.end_s)
            for one, other in zip(merged, whole, strict=True)
            if one.end_s is not None and other.end_s is not None
        ]
        cells.append(f"{sum(end == 0 for end in ends)} of {len(ends)} equal, at most {max(ends, default=0):.2f} s")
    return f"| {' | '.join(cells)} |"


def gradient_row(
    listener: Listener, clips: Sequence[Clip], way: Way, results: Results, whole: Callable[[], dict[str, torch.Tensor]]
) -> str:
    """Cosine to the whole window's gradient: of all weights, and of the encoder's."""
    key = f"{way.name}, {len(clips)} clips"
    if key not in results.read("gradients"):
        gradient = listener.gradient(clips, way)
        of_encoder = cosine(gradient, whole(), lambda name: name.startswith("model.encoder."))
        results.add("gradients", key, {"all": cosine(gradient, whole()), "encoder": of_encoder})
    row = results.read("gradients")[key]
    return f"| {way.name} | {row['all']:.4f} | {row['encoder']:.4f} |"


def times_row(listener: Listener, set_name: str, clips: Sequence[Clip], way: Way, results: Results) -> str:
    """Processor time of the encoder and of a training step (forward, backward, AdamW), merged to whole."""
    key = f"{set_name}, {way.name}, {len(clips)} clips"
    if key not in results.read("times"):
        model, whole = listener.model, Way.parse("whole")
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, weight_decay=0.0)

        def encode(as_heard: Way) -> None:
            features, kept = listener.inputs(clips, as_heard)
            with torch.no_grad():
                encode_clips(model, features, kept)

        def step(as_heard: Way) -> None:
            listener.summed_loss(clips, as_heard).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        measured: dict[str, list[float]] = {}
        for name, work in (("encoder", encode), ("step", step)):
            ways = {"merged": lambda work=work: work(way), "whole": lambda work=work: work(whole)}
            seconds = in_turns(ways, rounds=ROUNDS, clock=cpu_time).rounds_s
            found = ratio(seconds["merged"], seconds["whole"])
            measured[name] = [found.median, found.low, found.high]
        results.add("times", key, dict(measured))
    row = results.read("times")[key]
    cells = [f"{median:.2f}x ({low:.2f} to {high:.2f})" for median, low, high in (row["encoder"], row["step"])]
    return f"| {set_name} | {way.name} | {np.mean([clip.seconds for clip in clips]):.1f} s | {' | '.join(cells)} |"


def main() -> None:
    """Compute what is missing, print the tables and a JSON line of what they were made with."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.merging", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--sets", nargs="+", default=["clean"], metavar="SET", help=f"such as {SETS}")
    parser.add_argument("--ways", nargs="+", default=["merged"], metavar="WAY", help=f"words with commas: {WORDS}")
    parser.add_argument("--against", default="whole", metavar="WAY", help="what transcripts are compared with")
    parser.add_argument("--clips", type=int, default=200, help="of each set; 0 makes no transcripts")
    parser.add_argument("--gradient", type=int, default=0, metavar="CLIPS")
    parser.add_argument("--times", action="store_true")
    parser.add_argument("--folder", type=Path, default=Path("runs/merging"))
    options = parser.parse_args()
    recordings = read_recordings(options.data)
    model, processor = load_model_and_processor(options.model)
    language = "en" if model.generation_config.is_multilingual else None
    configure_generation(
        model, processor, language=language, task="transcribe", max_new_tokens=MOST_NEW_TOKENS, num_beams=1
    )
    listener, ways, against = Listener(model, processor), list(map(Way.parse, options.ways)), Way.parse(options.against)
    # the results of other recordings are others
    results = Results(options.folder / "-".join([Path(options.model).name, *(folder.name for folder in options.data)]))
    if options.clips:
        _print_agreement(listener, recordings, ways, against, options, results)
    if options.gradient:
        clips = clips_of("clean", recordings, options.gradient)
        whole = functools.cache(lambda: listener.gradient(clips, Way.parse("whole")))
        _say("\n| way | gradient: cosine of all weights | of the encoder's |\n|---|---|---|")
        for way in ways:
            _say(gradient_row(listener, clips, way, results, whole))
    if options.times:
        _say("\n| clips | way | mean length | encoder | training step |\n|---|---|---|---|---|")
        for set_name in options.sets:
            for way in ways:
                _say(times_row(listener, set_name, clips_of(set_name, recordings, TIMED_CLIPS), way, results))
    libraries = ("torch", "transformers")
    about = {"python": platform.python_version(), **{name: version(name) for name in libraries}}
    _say("\n" + json.dumps({"benchmark": "merging", "threads": torch.get_num_threads(), "versions": about}))


def _print_agreement(
    listener: Listener,
    recordings: Sequence[Recording],
    ways: Sequence[Way],
    against: Way,
    options: argparse.Namespace,
    results: Results,
) -> None:
    is_english = all(recording.language == "en" for recording in recordings)
    normalize = load_normalizer("english" if is_english else "multilingual", listener.processor.tokenizer)
    columns = ["clips", "way", "mean length", "positions", "same as written", "same normalised", "WER whole", "WER"]
    columns += ["difference (95% interval)", *(["ends of speech"] if any(way.is_timed for way in ways) else [])]
    _say(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for set_name in options.sets:
        clips = clips_of(set_name, recordings, options.clips)
        whole = transcripts(listener, set_name, clips, against, results)
        for way in ways:
            merged = transcripts(listener, set_name, clips, way, results)
            kept = float(np.mean([listener.kept_count(clip, way) for clip in clips]))
            _say(agreement_row(set_name, way, clips, merged, whole, normalize=normalize, kept=kept))


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
