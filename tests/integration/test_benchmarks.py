"""Every benchmark runs, at a tiny size, and ends with the JSON line that its results are kept from."""

import json
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_start_up_of_the_data_layer() -> None:
    command = [sys.executable, "-m", "benchmarks.data_startup", "--rows", "300", "--rounds", "1", "--batches", "20"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    [result] = json.loads(done.stdout.splitlines()[-1])["results"]
    assert result["rows"] == 300
    assert all(value > 0 for value in result.values())
    assert done.stdout.startswith("| rows | cold_s | ")
