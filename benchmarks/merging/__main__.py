"""What merged padding costs and saves, on real weights: `python -m benchmarks.merging MODEL DATA...`.

DATA are folders of real clips with `manifest.jsonl` (`file`, `text`, `language`, `speaker`). A row is a set of clips
and a way of hearing them, compared with the whole window on the same clips: how many greedy transcripts are the same,
letter for letter and normalised, and the word error rates with the paired 95% interval of their difference.
`--divergence` adds how far the probabilities of the next token are from the whole window's, on so many clips, which
tells ways apart that few transcripts can't; `--gradient` the cosine of the summed gradient of so many clips; `--times`
the processor time of encoder and training step as ratios, measured in turns.

All results are kept in `--folder` as they come; what is there is not computed again.
"""

import argparse
import functools
import json
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from accel_asr.evaluation.normalizers import load_normalizer
from accel_asr.model.pretrained import configure_generation, load_model_and_processor
from benchmarks.merging import rows
from benchmarks.merging.clips import SETS, Clip, clips_of, read_recordings
from benchmarks.merging.hearing import MOST_NEW_TOKENS, WORDS, Listener, Way

TIMED_CLIPS = 2


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.merging", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--sets", nargs="+", default=["clean"], metavar="SET", help=f"such as {SETS}")
    parser.add_argument("--ways", nargs="+", default=["merged"], metavar="WAY", help=f"words with commas: {WORDS}")
    parser.add_argument("--against", default="whole", metavar="WAY", help="what transcripts are compared with")
    parser.add_argument("--clips", type=int, default=200, help="of each set; 0 makes no transcripts")
    parser.add_argument("--divergence", type=int, default=0, metavar="CLIPS")
    parser.add_argument("--gradient", type=int, default=0, metavar="CLIPS")
    parser.add_argument("--times", action="store_true")
    parser.add_argument("--folder", type=Path, default=Path("runs/merging"))
    return parser.parse_args()


def main() -> None:
    """Compute what is missing, print the tables and a JSON line of what they were made with."""
    options = parse_options()
    recordings = read_recordings(options.data)
    model, processor = load_model_and_processor(options.model)
    language = "en" if model.generation_config.is_multilingual else None
    configure_generation(
        model, processor, language=language, task="transcribe", max_new_tokens=MOST_NEW_TOKENS, num_beams=1
    )
    listener, ways, against = Listener(model, processor), list(map(Way.parse, options.ways)), Way.parse(options.against)
    # other recordings have results of their own
    folder = "-".join([Path(options.model).name, *(folder.name for folder in options.data)])
    results = rows.Results(options.folder / folder)
    is_english = all(recording.language == "en" for recording in recordings)
    normalize = load_normalizer("english" if is_english else "multilingual", processor.tokenizer)
    if options.clips:
        _head([*rows.AGREEMENT, *([rows.ENDS] if against.is_timed else [])])
        for set_name in options.sets:
            clips = clips_of(set_name, recordings, options.clips)
            whole = rows.transcripts(listener, set_name, clips, against, results)
            for way in ways:
                merged = rows.transcripts(listener, set_name, clips, way, results)
                kept = np.mean([listener.kept_count(clip, way) for clip in clips])
                cells = [set_name, way.name, _mean_length(clips), f"{kept:.0f}"]
                cells += rows.agreement(clips, merged, whole, normalize)
                _line([*cells, *([rows.ends_of_speech(merged, whole)] if against.is_timed else [])])
    if options.divergence:
        _head(rows.DIVERGENCE)
        for set_name in options.sets:
            clips = clips_of(set_name, recordings, options.divergence)
            next_tokens = functools.cache(functools.partial(listener.all_next_tokens, clips, Way.parse("whole")))
            for way in ways:
                kept = np.mean([listener.kept_count(clip, way) for clip in clips])
                cells = rows.divergence(listener, clips, way, results, name=set_name, whole=next_tokens)
                _line([set_name, way.name, f"{kept:.0f}", *cells])
    if options.gradient:
        clips = clips_of("clean", recordings, options.gradient)
        gradient = functools.cache(lambda: listener.gradient(clips, Way.parse("whole")))
        _head(rows.GRADIENT)
        for way in ways:
            _line([way.name, *rows.gradient(listener, clips, way, gradient, results)])
    if options.times:
        _head(rows.TIMES)
        for set_name in options.sets:
            clips = clips_of(set_name, recordings, TIMED_CLIPS)
            for way in ways:
                _line([set_name, way.name, _mean_length(clips), *rows.times(listener, set_name, clips, way, results)])
    about = {"python": platform.python_version(), **{name: version(name) for name in ("torch", "transformers")}}
    _say(json.dumps({"benchmark": "merging", "threads": torch.get_num_threads(), "versions": about}))


def _mean_length(clips: Sequence[Clip]) -> str:
    return f"{np.mean([clip.seconds for clip in clips]):.1f} s"


def _head(columns: Sequence[str]) -> None:
    _say("")
    _line(columns)
    _say(f"{'|---' * len(columns)}|")


def _line(cells: Sequence[str]) -> None:
    _say(f"| {' | '.join(cells)} |")


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
