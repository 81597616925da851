"""The harness itself: a command that hangs ends at its deadline, ranks in sessions of their own included."""

import sys
from pathlib import Path

import psutil
import pytest

from tests.integration.launching import run

LAUNCHER = """
import subprocess, sys, time
print("started", subprocess.Popen([sys.executable, "rank.py"], start_new_session=True).pid, flush=True)
time.sleep(600)
"""
RANK = """
import time
def waits_for_ever():
    time.sleep(600)
waits_for_ever()
"""


def test_deadline_ends_every_rank_and_says_where_it_was(tmp_path: Path) -> None:
    (tmp_path / "launcher.py").write_text(LAUNCHER)
    (tmp_path / "rank.py").write_text(RANK)
    with pytest.raises(AssertionError) as caught:
        run([sys.executable, "launcher.py"], cwd=tmp_path, deadline_s=3)
    assert "waits_for_ever" in str(caught.value)
    rank_pid = int(str(caught.value).split("started ")[1].split()[0])
    assert not psutil.pid_exists(rank_pid) or psutil.Process(rank_pid).status() == psutil.STATUS_ZOMBIE
