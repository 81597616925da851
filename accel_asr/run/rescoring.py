"""`accel-asr evaluate --rescore FILE_OR_FOLDER... [--normalizer NAME]`: another normaliser, without decoding again."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from accel_asr.config.settings import NormalizerName
from accel_asr.console.printing import OptionParser, say
from accel_asr.errors import UserError

SPELLING_FILE = "normalizer.json"
RATES = {"WER": "wer", "CER": "cer"}


def build_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = OptionParser(prog="accel-asr evaluate --rescore", description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--rescore",
        nargs="+",
        type=Path,
        required=True,
        metavar="FILE_OR_FOLDER",
        help="transcripts (.jsonl) of an earlier evaluation, or folders of them, such as runs/quickstart/evaluations",
    )
    parser.add_argument(
        "--normalizer",
        "--evaluation.normalizer",
        choices=get_args(NormalizerName),
        default="basic",
        help="what is done to both texts before they are compared (default basic)",
    )
    parser.add_argument(
        "--model", type=Path, help="model folder, for its spelling table, which `english` and `open_asr` need"
    )
    parser.add_argument(
        "--language",
        default="en",
        help="for `open_asr`: the language of transcripts that state none (default en)",
    )
    parser.add_argument(
        "--output_dir", type=Path, metavar="FOLDER", help="write the rescored transcripts and scores.json into it"
    )
    parser.add_argument("--overwrite", action="store_true", help="let files that are there already be replaced")
    return parser


def main(arguments: list[str]) -> int:
    """Score stored transcripts anew, and print the rates.

    Raises:
        UserError: transcripts are not there, or none; no spelling table for `english` or `open_asr`; output would be
            replaced.
    """
    options = build_parser().parse_args(arguments)
    files = _transcript_files(options.rescore)
    needs_spelling = options.normalizer in ("english", "open_asr")
    spelling = _spelling(options.model, options.normalizer) if needs_spelling else None
    targets = {} if options.output_dir is None else _targets(files, options.output_dir, overwrite=options.overwrite)

    from rich.table import Table

    from accel_asr.evaluation.intervals import rate_intervals
    from accel_asr.evaluation.normalizers import normalizer_named
    from accel_asr.evaluation.run_files import read_transcripts
    from accel_asr.evaluation.score_tables import score_console, shown, with_interval
    from accel_asr.evaluation.scoring import corpus_score, score_utterance
    from accel_asr.files.atomic_writes import write_json, write_json_lines
    from accel_asr.model.languages import language_name

    normalize = normalizer_named(options.normalizer, spelling=spelling, language=language_name(options.language))
    table = Table(title=f"scored by the normaliser {options.normalizer}, with 95% intervals", title_justify="left")
    for column in ("transcripts", "utterances", *RATES, "WER before"):
        table.add_column(column, justify="left" if column == "transcripts" else "right", overflow="fold")
    sets: dict[str, Any] = {}
    for file in files:
        before = read_transcripts(file, setting="--rescore", remedy="give the transcripts of an evaluation")
        scored = [score_utterance(utterance.transcript, normalize) for utterance in before]
        score, intervals = corpus_score(scored), rate_intervals(scored)
        rates = [with_interval(getattr(score, rate), intervals[rate]) for rate in RATES.values()]
        wer_before = with_interval(corpus_score(before).wer, rate_intervals(before)["wer"])
        table.add_row(shown(str(file)), f"{len(scored):,}", *rates, wer_before)
        if targets:
            own = {f"{name}_interval": list(interval) for name, interval in intervals.items()}
            sets[targets[file].name] = {"transcripts": str(file), **asdict(score), **own}
            write_json_lines(targets[file], (utterance.to_json() for utterance in scored))
    score_console().print(table)
    if targets:
        write_json(options.output_dir / "scores.json", {"normalizer": options.normalizer, "sets": sets})
        say(f"scores      {options.output_dir / 'scores.json'}\ntranscripts {options.output_dir / '*.jsonl'}")
    return 0


def _transcript_files(given: Sequence[Path]) -> list[Path]:
    files: list[Path] = []
    problems = []
    for path in given:
        below = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
        if not below or not all(file.is_file() for file in below):
            problems.append(f"{str(path)!r} {'holds no .jsonl file' if path.is_dir() else 'is no file'}")
        files += below
    if problems:
        raise UserError(
            ", ".join(problems), setting="--rescore", remedy="give the transcripts of an evaluation, or their folder"
        )
    return list(dict.fromkeys(files))


def _spelling(model: Path | None, normalizer: str) -> dict[str, str]:
    if model is None:
        raise UserError(
            "needs the spelling table of a model",
            setting="--normalizer",
            value=normalizer,
            remedy="add --model FOLDER, or choose basic",
        )
    try:
        table = json.loads((model / SPELLING_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _no_spelling(model, normalizer, f"can't be read ({error})") from error
    if not isinstance(table, dict) or not table:
        raise _no_spelling(model, normalizer, "holds no table of spellings")
    return table


def _no_spelling(model: Path, normalizer: str, problem: str) -> UserError:
    return UserError(
        f"its {SPELLING_FILE}, which the normaliser {normalizer} needs, {problem}",
        setting="--model",
        value=model,
        remedy="give another model folder, or choose basic",
    )


def _targets(files: Sequence[Path], folder: Path, *, overwrite: bool) -> dict[Path, Path]:
    """Where each file's rescored transcripts go: never where they came from."""
    several_folders = len({file.parent.resolve() for file in files}) > 1
    names = [f"{file.parent.name}-{file.name}" if several_folders else file.name for file in files]
    targets = {file: folder / name for file, name in zip(files, names, strict=True)}
    if len(set(names)) < len(names):
        raise UserError(
            "two of the files have the same name and folder name", setting="--rescore", remedy="rescore them one by one"
        )
    sources = {file.resolve() for file in files}
    there = [target for target in (*targets.values(), folder / "scores.json") if target.exists()]
    if there and (not overwrite or any(target.resolve() in sources for target in there)):
        raise UserError(
            f"already holds {there[0].name!r}", setting="--output_dir", value=folder, remedy="give another folder"
        )
    return targets
