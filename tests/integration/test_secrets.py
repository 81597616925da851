"""Secrets wherever a user may put them, looked for in everything that is written, printed and published."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.hub_server import LoopbackHub
from tests.integration.launching import Finished, hub_environment, run
from tests.tiny_datasets import tone_utterances, wav_bytes
from tests.tiny_models import make_tiny_whisper
from tests.unit.data.shard_server import ShardServer, write_tar

SIGNATURE, CREDENTIAL, FRAGMENT = "sigMARKER7f3a91c0", "AKIDMARKER0a1b2c", "fragMARKER5d6e7f80"
PASSWORD, TOKEN, WANDB_KEY, PROXY = "pwMARKER1a2b", "hf_MARKERtokenGivenAsAnOption", "keyMARKER" + "0" * 31, "prMARKER9"
QUERY = f"?X-Amz-Credential={CREDENTIAL}&X-Amz-Signature={SIGNATURE}#access_token={FRAGMENT}"
# several commands in one process: importing takes the most of each
COMMANDS = """
import json, logging, sys, warnings
from accel_asr.__main__ import main
from tests.conftest import forget_accelerate
for arguments in json.loads(sys.argv[1]):
    forget_accelerate()
    sys.argv = ["accel-asr", *arguments]
    print("---", arguments[0], flush=True)
    try:
        main()
    except SystemExit as ended:
        print("--- exit", ended.code, flush=True)
# and what nobody foresaw
logging.getLogger("library").warning("asked for %s", sys.argv[-1])
warnings.warn("asked for " + sys.argv[-1], stacklevel=1)
raise RuntimeError("asked for " + sys.argv[-1])
"""


@dataclass
class Tried:
    """What all the commands printed, and where they wrote."""

    folder: Path
    finished: Finished
    published: Path
    secrets: dict[str, str]

    @property
    def codes(self) -> list[str]:
        return [line.split()[-1] for line in self.finished.out.splitlines() if line.startswith("--- exit")]


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tried]:
    folder = tmp_path_factory.mktemp("secrets")
    model = make_tiny_whisper(folder / "model", max_source_positions=100)
    shards = {"clips-0.tar": tone_utterances(12), "more-0.tar": tone_utterances(12, seed=9)}
    work = folder / "work"
    work.mkdir()
    with ShardServer() as server, LoopbackHub(folder / "hub") as hub:
        for shard, clips in shards.items():
            members: dict[str, bytes | str] = {}
            for number, (words, samples) in enumerate(clips):
                members |= {f"{number}.wav": wav_bytes(samples), f"{number}.txt": " ".join(words)}
            server.files[shard] = write_tar(folder / shard, members).read_bytes()
        signed = server.url("clips-{0..0}.tar") + QUERY
        with_password = signed.replace("http://", f"http://somebody:{PASSWORD}@")
        data = ["--data.name_or_path", signed, "--data.eval_rows", "3", "--model.language", "en"]
        quick = ["--evaluation.generation_max_length", "5", "--training.dataloader_num_workers", "0"]
        named = ["--model.name_or_path", str(model), *quick]
        one_step = ["--training.max_steps", "1", "--training.per_device_train_batch_size", "2"]
        one_step += ["--evaluation.eval_on_start", "false"]
        sources = [{"name_or_path": name} for name in (signed, signed.replace("clips", "more"))]
        several = ["--data.sources", json.dumps(sources), "--data.eval_rows", "3", "--model.language", "en"]
        train = ["train", *named, *data, *one_step, "--tracking.report_to", "[tensorboard, wandb, trackio]"]
        clean = ["--extract_audio", "extracted", "--overwrite", "--write_clean"]
        whole = ["--model.language", "en", "--dataset", f"{signed}@train"]
        commands = [
            [*train, "--output_dir", "run"],
            ["check-data", *named, *data, "--json", "checked.json", *clean, "clean.jsonl"],
            ["evaluate", "--model", "run/best", "--data.name_or_path", signed, "--output_dir", "scores"],
            ["report", "run"],
            ["push", "run", "--hub_model_id", "tester/tones", "--include_tensorboard", "--dry_run"],
            ["push", "run", "--hub_model_id", "tester/tones", "--include_tensorboard"],
            ["train", *named, *several, *one_step, "--output_dir", "several"],
            ["check-data", *named, *several, "--json", "several.json", *clean, "both.jsonl"],
            ["evaluate", "--model", str(model), *quick, *whole, "--output_dir", "whole"],
            # refused, each with what it may repeat
            ["push", "run", "--hub_model_id", "tester/tones", "--token", TOKEN],
            ["transcribe", "--model", "run/best", f"--hf_token={TOKEN}", "a.wav"],
            [*train, "--output_dir", "refused", "--data.name_or_path", with_password],
            [*train, "--output_dir", "refused", "--data.name_or_path", signed.replace("clips", "gone")],
            [*train, "--output_dir", "refused", "--data.name_or_path", with_password.replace(".tar", ".zip")],
            [*train, "--output_dir", "refused", "--data.sources", f"[{{name_or_path: '{with_password}', weight: x}}]"],
            [*train, "--output_dir", "refused", "--model.name_or_path", with_password],
            [*train, "--output_dir", "refused", "--data.eval_rows", signed],
            ["train", "--config", "run/config.yaml", "--output_dir", "again"],
        ]
        env = {
            **hub_environment(hub, folder / "hf_home"),
            "ACCEL_ASR_CACHE": str(work / "cache"),
            "WANDB_API_KEY": WANDB_KEY,
            "WANDB_MODE": "offline",
            "HTTPS_PROXY": f"http://somebody:{PROXY}@127.0.0.1:9",
        }
        commands.append(["train", "--data.name_or_path", with_password])
        finished = run([sys.executable, "-c", COMMANDS, json.dumps(commands)], cwd=work, env=env)
        secrets = {
            "signature": SIGNATURE,
            "credential": CREDENTIAL,
            "fragment": FRAGMENT,
            "password": PASSWORD,
            "token as an option": TOKEN,
            "HF_TOKEN": hub.token,
            "WANDB_API_KEY": WANDB_KEY,
            "proxy": PROXY,
        }
        yield Tried(work, finished, hub.repository("model", "tester/tones").folder(), secrets)


def test_the_commands_do_what_they_should(tried: Tried) -> None:
    """Or nothing would have been written that could hold a secret."""
    assert tried.codes[:9] == ["0"] * 9, tried.finished.out + tried.finished.err
    assert tried.codes[9:] == ["2"] * 10, tried.finished.out + tried.finished.err
    assert tried.finished.err.count("Traceback") == 1
    assert tried.finished.err.count("asked for http://(hidden)@127.0.0.1:") == 3
    assert (tried.published / "model.safetensors").exists()
    assert list(tried.published.rglob("events.out.tfevents.*"))
    assert list((tried.folder / "run" / "wandb").rglob("*.wandb"))
    assert list((tried.folder / "run" / "trackio").rglob("*"))


def test_no_secret_is_printed(tried: Tried) -> None:
    printed = tried.finished.out + tried.finished.err
    assert "(hidden)" in printed  # an address is shown, without what is nobody's business
    assert [name for name, secret in tried.secrets.items() if secret in printed] == []


@pytest.mark.parametrize("where", ["written", "published"])
def test_no_secret_is_written_or_published(tried: Tried, where: str) -> None:
    files = [path for path in (tried.folder if where == "written" else tried.published).rglob("*") if path.is_file()]
    assert len(files) > 10
    leaks = {
        f"{name} in {path.name}"
        for path in files
        for content in [path.read_bytes()]
        for name, secret in tried.secrets.items()
        if secret.encode() in content or secret in str(path)
    }
    assert leaks == set()


def test_a_configuration_without_its_secret_part_asks_for_it(tried: Tried) -> None:
    address = yaml.safe_load((tried.folder / "run" / "config.yaml").read_text())["data"]["name_or_path"]
    assert address.endswith("/clips-{0..0}.tar?(hidden)")
    answers = [line for line in tried.finished.err.splitlines() if "lacks the secret part" in line]
    assert [line.partition(" '")[0] for line in answers] == ["error: --data.name_or_path"]
    assert answers[0].endswith("give the whole address again by --data.name_or_path")


def test_a_token_on_the_command_line_is_refused_with_the_place_for_it(tried: Tried) -> None:
    for option in ("--token", "--hf_token"):
        assert f"error: {option}: no secret is taken from the command line" in tried.finished.err
    assert "set HF_TOKEN" in tried.finished.err
