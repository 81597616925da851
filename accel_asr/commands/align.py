"""`accel-asr align --model M FILE... --output_dir FOLDER`: find where the texts of long recordings are said.

Writes rows of at most 30 s to train on, a list of what was left out, and a page to listen to the rows that fit worst.
Also under `accelerate launch -m accel_asr align ...`, on as many devices as there are. Called again, it goes on.
"""

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from accel_asr.commands.option_types import positive
from accel_asr.console.printing import OptionParser, counted, percent, say
from accel_asr.console.public_text import visible
from accel_asr.errors import UserError, setting_shown_as
from accel_asr.files.atomic_writes import write_errors_explained
from accel_asr.model.folder.examination import refuse_unfit_folder
from accel_asr.quickstart import model_source

if TYPE_CHECKING:
    from accelerate import Accelerator

    from accel_asr.alignment.kept_alignments import KeptAlignments
    from accel_asr.alignment.row_manifest import AlignedTotals
    from accel_asr.alignment.spoken_texts import SpokenText
    from accel_asr.transcription.transcriber import Transcriber

PAGE = "worst_rows.html"
LONGEST_WAIT_S = 30 * 24 * 3600  # ranks wait for each other at the end only, and one may have a month of work left
SHOWN_NAMES = 5


def build_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = OptionParser(prog="accel-asr align", description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="FILE",
        help="recordings with a .txt of the same name beside each (files, folders, globs in quotes), or tables with "
        "columns audio and text (.csv, .tsv, .jsonl, .parquet)",
    )
    parser.add_argument(
        "--model",
        required=True,
        help="folder of a model or an adapter, or a name on the Hub, such as openai/whisper-base",
    )
    parser.add_argument("--revision", help="branch, tag or commit of a model on the Hub")
    parser.add_argument(
        "--output_dir", required=True, type=Path, metavar="FOLDER", help="where to write; a second call goes on there"
    )
    parser.add_argument("--text", type=Path, metavar="FILE", help="the text of the only recording")
    parser.add_argument(
        "--language", help="language spoken, code or name; default is what the model was tuned for, else detected"
    )
    parser.add_argument(
        "--language_stand_in",
        metavar="LANGUAGE",
        help="for a --language that the model does not know: one that it knows, similar in sound and script",
    )
    parser.add_argument(
        "--longest", type=positive, metavar="SECONDS", help="the longest row (default: the model's window, 30 s)"
    )
    parser.add_argument(
        "--allow_outside_paths", action="store_true", help="let tables name files outside of their folder"
    )
    parser.add_argument("--overwrite", action="store_true", help="align again what is finished")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps ...; default is an accelerator if there is one")
    return parser


def main(arguments: list[str]) -> int:
    """Align, and write the manifest. A recording that can't be aligned is named, the others go on; exit code 1 then.

    Raises:
        UserError: no such input, an unfit table, a model that can't be loaded or does not know the language, or an
            output folder that holds something else.
    """
    from accel_asr.alignment.row_manifest import MANIFEST
    from accel_asr.alignment.spoken_texts import find_spoken_texts

    options = build_parser().parse_args(arguments)
    try:
        _refuse_impossible(options)
        spoken, notes = find_spoken_texts(
            options.inputs,
            text_file=options.text,
            own_manifest=options.output_dir / MANIFEST,
            allow_outside=options.allow_outside_paths,
        )
        _make_room(options.output_dir)
    except UserError as error:
        raise error.but(same_on_every_rank=True) from error
    if options.language:
        spoken = [replace(one, language=None) for one in spoken]  # of a table: the option is stronger
    return align(options, spoken, notes)


def align(options: argparse.Namespace, spoken: "Sequence[SpokenText]", notes: Sequence[str]) -> int:
    """Align all recordings. Called on every rank; the main process writes the manifest and says what it holds.

    Raises:
        UserError: as `main`.
    """
    from accelerate.utils import gather_object

    from accel_asr.alignment.kept_alignments import KeptAlignments
    from accel_asr.alignment.many_recordings import share_of_rank
    from accel_asr.ranks.host_sums import summed_over_ranks
    from accel_asr.training.launch.topology import shut_down, start_accelerator
    from accel_asr.transcription.transcriber_loading import weights_and_settings_hash

    accelerator = start_accelerator(
        mixed_precision=None, gradient_accumulation_steps=1, seed=0, timeout_s=LONGEST_WAIT_S
    )
    for note in notes if accelerator.is_main_process else ():
        say(f"note: {visible(note)}", to_stderr=True)
    transcriber = _load(options, accelerator)
    longest_s = _longest_s(options, transcriber)
    made_by = {
        "model": weights_and_settings_hash(transcriber),
        "language": transcriber.language,
        "longest_s": longest_s,
    }
    kept = KeptAlignments(options.output_dir, made_by)
    pending = _pending(kept, spoken, overwrite=options.overwrite, is_main=accelerator.is_main_process)
    summed_over_ranks([0], accelerator)  # all have looked before one writes, so that all share out the same
    mine = share_of_rank(pending, rank=accelerator.process_index, ranks=accelerator.num_processes)
    own_failures = _align_share(transcriber, mine, kept, longest_s=longest_s, is_main=accelerator.is_main_process)
    summed_over_ranks([0], accelerator)  # hosts wait for each other, no GPU does
    failures: dict[str, str] = dict(gather_object(list(own_failures.items())))
    is_main = accelerator.is_main_process
    shut_down(accelerator)
    if not is_main:
        return 0
    failures = {one.name: failures[one.name] for one in spoken if one.name in failures}
    totals = _write(options, kept, spoken, failures)
    _summarise(totals, failures, options)
    return 1 if failures or not totals.rows else 0


def _load(options: argparse.Namespace, accelerator: "Accelerator") -> "Transcriber":
    from accel_asr.model.languages import token_language
    from accel_asr.transcription.transcriber_loading import load_transcriber

    device = options.device or str(accelerator.device)
    stand_in = options.language_stand_in
    with setting_shown_as("--model", setting="--model.name_or_path"):
        try:
            transcriber = load_transcriber(
                options.model, revision=options.revision, device=device, language=stand_in or options.language
            )
        except UserError as error:
            if error.setting != "--language":
                raise
            if stand_in:
                raise error.but(setting="--language_stand_in") from error
            remedy = "let one that it knows, similar in sound and script, stand in for it: --language_stand_in LANGUAGE"
            raise error.but(remedy=f"{remedy}; or {error.remedy}") from error
    known = getattr(transcriber.model.generation_config, "lang_to_id", None) or {"<|en|>": 0}
    if stand_in and token_language(options.language, [token.strip("<|>") for token in known]):
        raise UserError(
            f"the model knows {options.language!r} itself",
            setting="--language_stand_in",
            value=stand_in,
            remedy="leave it out",
        )
    return transcriber


def _refuse_impossible(options: argparse.Namespace) -> None:
    refuse_unfit_folder(model_source(options.model), name=options.model, setting="--model")
    if options.language_stand_in and not options.language:
        remedy = "give the language spoken, for the column of the manifest"
        raise UserError("is not set, and --language_stand_in needs it", setting="--language", remedy=remedy)
    if options.device and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        remedy = "leave it out: each process of a launch has its own"
        raise UserError("is one device for all", setting="--device", value=options.device, remedy=remedy)


def _make_room(folder: Path) -> None:
    """Make the output folder, before anything takes time.

    Raises:
        UserError: it can't be made, or holds another manifest, which the new one would replace or be hidden by.
    """
    from accel_asr.alignment.kept_alignments import FOLDER
    from accel_asr.alignment.row_manifest import MANIFEST
    from accel_asr.data.reading.manifests import find_manifest

    with write_errors_explained(folder, setting="--output_dir"):
        folder.mkdir(parents=True, exist_ok=True)
        manifest = find_manifest(folder)
    if manifest is not None and not (manifest.name == MANIFEST and (folder / FOLDER).is_dir()):
        raise UserError(
            f"already holds {manifest.name}, which is not of this command",
            setting="--output_dir",
            value=folder,
            remedy="give another folder",
        )


def _longest_s(options: argparse.Namespace, transcriber: "Transcriber") -> float:
    from accel_asr.model.pretrained import window_s

    window = window_s(transcriber.processor)
    if options.longest is not None and options.longest > window:
        raise UserError(
            "is longer than the model's window, and training would drop such rows",
            setting="--longest",
            value=options.longest,
            remedy=f"give at most {window:g}",
            same_on_every_rank=True,
        )
    return float(options.longest or window)


def _pending(
    kept: "KeptAlignments", spoken: "Sequence[SpokenText]", *, overwrite: bool, is_main: bool
) -> "list[SpokenText]":
    """The recordings to align; says why some are not, or again.

    Raises:
        UserError: as `KeptAlignments.pending`.
    """
    if overwrite:
        return list(spoken)
    pending, changed = kept.pending(spoken)
    if is_main and changed:
        say(f"note: aligned again, since recording or text have changed: {_listed(changed)}", to_stderr=True)
    if is_main and len(pending) < len(spoken):
        say(f"note: {len(spoken) - len(pending):,} of {counted(len(spoken), 'recording')} are finished", to_stderr=True)
    return pending


def _align_share(
    transcriber: "Transcriber",
    mine: "Sequence[SpokenText]",
    kept: "KeptAlignments",
    *,
    longest_s: float,
    is_main: bool,
) -> dict[str, str]:
    """Align this rank's recordings and keep each as soon as it is finished; why the others failed, by name."""
    from accel_asr.alignment.many_recordings import aligned_recordings
    from accel_asr.console.bars import progress_bar

    failures: dict[str, str] = {}
    with progress_bar(len(mine), desc="align", unit="recordings", is_shown=is_main) as bar:

        def show(one: "SpokenText", share: float) -> None:
            bar.set_postfix_str(f"{one.path.name}: {share:.0%}")

        for one, aligned in aligned_recordings(transcriber, mine, longest_s=longest_s, on_progress=show):
            bar.update()
            bar.clear()  # the next line is printed in its place
            if isinstance(aligned, str):
                failures[one.name] = aligned
                say(f"error: {visible(one.name)}: {visible(aligned)}", to_stderr=True)
                continue
            with write_errors_explained(kept.output_dir, setting="--output_dir"):
                kept.save(one, aligned)
    return failures


def _write(
    options: argparse.Namespace,
    kept: "KeptAlignments",
    spoken: "Sequence[SpokenText]",
    failures: Mapping[str, str],
) -> "AlignedTotals":
    from accel_asr.alignment.row_manifest import write_manifest
    from accel_asr.reporting.align_page import MOST_CUTS, MOST_LEFT_OUT, write_align_page

    with write_errors_explained(options.output_dir, setting="--output_dir"):
        totals = write_manifest(
            kept,
            [one for one in spoken if one.name not in failures],
            failures,
            spoken_language=options.language if options.language_stand_in else None,
            most_cuts=MOST_CUTS,
            most_left_out=MOST_LEFT_OUT,
        )
        write_align_page(totals, failures, options.output_dir / PAGE, model=options.model)
    return totals


def _summarise(totals: "AlignedTotals", failures: Mapping[str, str], options: argparse.Namespace) -> None:
    from accel_asr.alignment.row_manifest import LEFT_OUT, MANIFEST
    from accel_asr.reporting.wording import hours

    share = percent(totals.words_in_rows / totals.words_in_text if totals.words_in_text else None)
    stretches = totals.stretches
    say(
        f"recordings {totals.recordings:,} of {hours(totals.duration_s / 3600)}"
        + (f"; {counted(len(failures), 'other')} could not be aligned" if failures else "")
    )
    say(f"rows       {totals.rows:,} of {hours(totals.rows_s / 3600)}")
    say(f"words      {totals.words_in_rows:,} of {totals.words_in_text:,} of the texts are in rows ({share})")
    say(
        f"left out   {counted(stretches['text'], 'stretch', 'stretches')} of text not spoken, "
        f"{counted(stretches['speech'], 'stretch', 'stretches')} of speech not in the text "
        f"({hours(totals.speech_left_out_s / 3600)})"
    )
    if totals.without_rows:
        say(f"no rows    {_listed(totals.without_rows)}: nothing of their texts was found in them")
    say(f"manifest   {options.output_dir / MANIFEST}")
    say(f"           {options.output_dir / LEFT_OUT}")
    say(f"listen     {options.output_dir / PAGE}")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN_NAMES:,} more" if len(names) > SHOWN_NAMES else ""
    return ", ".join(map(visible, names[:SHOWN_NAMES])) + more
