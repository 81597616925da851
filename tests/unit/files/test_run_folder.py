"""Claiming a run's folder, clearing up after a crash, and explaining a full disk."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import SafetensorError

from accel_asr.files.run_folder import CONFIG_FILE, checkpoint_path, claim_run_folder, full_disk_explained
from tests.refusals import refused


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# -- claiming


def test_a_new_folder_is_made_with_its_parents(tmp_path: Path) -> None:
    claim_run_folder(tmp_path / "runs" / "mine", resume=False)
    assert (tmp_path / "runs" / "mine").is_dir()


def test_a_folder_with_other_things_in_it_can_be_claimed(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    claim_run_folder(tmp_path, resume=False)
    assert names(tmp_path) == [".lock", "notes.txt"]


def test_a_folder_that_holds_a_run_is_refused_unless_it_is_resumed(tmp_path: Path) -> None:
    (tmp_path / CONFIG_FILE).write_text("")
    with refused("--output_dir", "another folder", value=tmp_path, remedy="--checkpoint.resume true"):
        claim_run_folder(tmp_path, resume=False)
    claim_run_folder(tmp_path, resume=True)


def test_resuming_where_nothing_is_starts_anew(tmp_path: Path) -> None:
    claim_run_folder(tmp_path / "new", resume=True)
    assert (tmp_path / "new").is_dir()


@pytest.mark.parametrize("resume", [False, True])
def test_a_file_in_the_way_is_named(tmp_path: Path, resume: bool) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with refused("--output_dir", "folder", value=path):
            claim_run_folder(path, resume=resume)


HOLDER = """
import sys, time
from pathlib import Path
from accel_asr.files.run_folder import (claim_run_folder)
claim_run_folder(Path(sys.argv[1]), resume=True)
print("claimed", flush=True)
time.sleep(60)
"""


def test_a_folder_that_another_process_writes_is_refused_until_that_is_gone(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "claimed\n"
        with refused("--output_dir", "another process", value=tmp_path, remedy="wait"):
            claim_run_folder(tmp_path, resume=True)
        holder.kill()
    claim_run_folder(tmp_path, resume=True)  # a process that was killed holds nothing


@pytest.mark.parametrize("kind", ["a dangling link", "a link in a circle", "a lock that is a folder", "too long"])
def test_what_can_t_be_a_run_folder_is_one_message(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "run"
    if kind == "a dangling link":
        path.symlink_to(tmp_path / "nowhere" / "at" / "all")
    elif kind == "a link in a circle":
        path.symlink_to(path)
    elif kind == "a lock that is a folder":
        (path / ".lock").mkdir(parents=True)
    else:
        path = tmp_path / ("x" * 300)
    with refused("--output_dir", value=path, remedy="--output_dir"):
        claim_run_folder(path, resume=False)


def test_only_the_first_rank_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    claim_run_folder(tmp_path, resume=False)
    assert names(tmp_path) == []


def test_what_a_crash_left_half_done_is_cleared_up(tmp_path: Path) -> None:
    for left in (".best.outgoing", ".last.outgoing", "last", "checkpoints/.step-00000004.writing"):
        (tmp_path / left).mkdir(parents=True)
    (tmp_path / ".best.outgoing" / "model.safetensors").write_text("whole")
    (tmp_path / ".summary.json.writing").write_text("ha")
    claim_run_folder(tmp_path, resume=True)
    assert names(tmp_path) == [".lock", "best", "checkpoints", "last"]
    assert (tmp_path / "best" / "model.safetensors").read_text() == "whole"
    assert names(tmp_path / "checkpoints") == []


# -- a full disk

FULL = [
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EDQUOT, "Disk quota exceeded"),
    SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),  # as seen
]


@pytest.mark.parametrize("error", FULL, ids=["disk", "quota", "safetensors"])
def test_a_full_disk_is_one_message_that_names_the_last_checkpoint(tmp_path: Path, error: Exception) -> None:
    with refused("--output_dir", "no space", value=tmp_path, remedy="start again"), full_disk_explained(tmp_path):
        raise error
    checkpoint_path(tmp_path, 30).mkdir(parents=True)
    with refused("--output_dir", "step-00000030", remedy="--checkpoint.resume true"), full_disk_explained(tmp_path):
        raise error


def test_other_errors_are_not_taken_for_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), full_disk_explained(tmp_path):
        raise PermissionError(errno.EACCES, "Permission denied")
