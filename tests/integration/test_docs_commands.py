"""What the pages tell a reader to type works as it stands: each `bash` block is given to bash, the quickstart first.

Only this differs: `pip` installs nothing, `my.yaml` trains the model in the package (its own is on the Hub), and runs,
evaluations and comparisons are cut short.
"""

import shlex
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import soundfile

from accel_asr.audio.decoding import decode
from accel_asr.quickstart import CLIPS_PARQUET
from tests.doc_pages import REPOSITORY, Block, blocks_to_run, write_files
from tests.integration.launching import offline_environment, run

PYTHON = shlex.quote(sys.executable)
SHORT = "--training.max_steps 2 --evaluation.eval_steps 2 --training.warmup_steps 1 --training.dataloader_num_workers 0"
SMALL_MODEL = "--model.name_or_path quickstart"  # in place of the one that my.yaml names
FEW_CLIPS = "--data.train_rows 550"  # of the quickstart's 563: 13 are scored
# programs as the reader has them, with what cuts them short
PROGRAMS = {
    "pip": "exit 0",
    "python": f'exec {PYTHON} "$@"',
    "accelerate": f"""
case "$*" in *my.yaml*) set -- "$@" {SMALL_MODEL} ;; *train.py*) set -- "$@" {FEW_CLIPS} ;; esac
case "$*" in *train.py*) set -- "$@" {SHORT} ;; esac
case "$*" in *resume*) set -- "$@" --training.max_steps 4 ;; esac
case "$*" in *verify*) set -- "$@" --verify_utterances 8 ;; esac
case "$*" in *processes*) set -- "$1" --main_process_port 0 "${{@:2}}" ;; esac
exec {PYTHON} -m accelerate.commands.accelerate_cli "$@" """,
    "accel-asr": f"""
case "$*" in *my.yaml*) set -- "$@" {SMALL_MODEL} ;; esac
case "$*" in plan*) set -- "$@" --sample 8 --minutes 0.1 ;; esac
case "$*" in *rescore*) ;; evaluate*|export*) set -- "$@" --utterances 8 ;; esac
exec {PYTHON} -m accel_asr "$@" """,
}
LEFT = {  # page -> what its commands leave, besides exit code 0
    "quickstart.md": ["runs/quickstart/report.html", "evaluations/against-base/scores.json"],
    "README.md": ["runs/my/best/model.safetensors"],
    "evaluate.md": ["evaluations/quickstart-best/scores.json"],
    "export.md": ["exports/quickstart/README.md", "exports/quickstart-onnx/README.md"],
    "report.md": ["baseline.html"],
    "resume.md": ["runs/quickstart/checkpoints/step-00000004"],
    "transcribe.md": ["subtitles/calls/001.srt", "subtitles/archive/march/003.srt"],
}


@pytest.fixture(scope="module")
def folder_of_a_reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository's folder, the files that the pages say to write, and recordings of the names in the commands."""
    folder = tmp_path_factory.mktemp("reader")
    for name in ("accel_asr", "launch_configs"):
        (folder / name).symlink_to(REPOSITORY / name)
    (folder / "bin").mkdir()
    for name, script in PROGRAMS.items():
        (folder / "bin" / name).write_text(f"#!/bin/bash\n{script}\n")
        (folder / "bin" / name).chmod(0o755)
    write_files(folder)
    rows = pq.read_table(CLIPS_PARQUET).to_pylist()[-30:]
    texts = [row["english_transcription"] for row in rows]
    for name, row in zip(["recording.wav", "another.flac", "recording.opus"], rows, strict=False):
        write_recording(folder / name, row["audio"]["bytes"])
    for name in ("calls/001.wav", "calls/002.mp3", "archive/march/003.mp3"):
        write_recording(folder / name, rows[0]["audio"]["bytes"])
    mine = folder / "my_recordings"
    for number, row in enumerate(rows, 1):
        write_recording(mine / f"calls/{number:03}.{'mp3' if number % 2 == 0 else 'wav'}", row["audio"]["bytes"])
    with (mine / "metadata.csv").open("a") as table:  # to the two lines on the page
        for number, text in enumerate(texts[2:], 3):
            table.write(f'calls/{number:03}.{"mp3" if number % 2 == 0 else "wav"},"{text}"\n')
    return folder


def write_recording(path: Path, clip: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = {"format": "OGG", "subtype": "OPUS"} if path.suffix == ".opus" else {}
    soundfile.write(path, decode(clip, sampling_rate_hz=16_000), 16_000, **kind)


@pytest.mark.parametrize("block", blocks_to_run(), ids=lambda block: block.place)
def test_what_a_page_says_to_type_works(block: Block, folder_of_a_reader: Path) -> None:
    environment = offline_environment()
    environment["PATH"] = f"{folder_of_a_reader / 'bin'}:{environment['PATH']}"
    command = ["bash", "-euo", "pipefail", "-c", block.text]
    finished = run(command, cwd=folder_of_a_reader, env=environment)
    assert finished.code == 0, f"{block.place}\n{block.text}\n{finished.out[-2000:]}\n{finished.err[-4000:]}"


def test_the_commands_left_what_the_pages_say(folder_of_a_reader: Path) -> None:
    pages = {block.page.name for block in blocks_to_run()}
    assert set(LEFT) <= pages
    assert [path for paths in LEFT.values() for path in paths if not (folder_of_a_reader / path).exists()] == []
