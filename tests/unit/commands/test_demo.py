"""`accel-asr demo`: its options, the base model beside it, and what it says where the extra is missing."""

from pathlib import Path

import pytest

from accel_asr.commands import demo
from tests.refusals import refused


def test_without_gradio_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "find_spec", lambda name: None if name == "gradio" else object())
    with refused(None, "needs gradio", remedy="pip install 'accel-asr[demo]'"):
        demo.main(["--model", "quickstart"])


@pytest.mark.parametrize(
    "asked", [["--max_file_mb", "0"], ["--max_minutes", "-1"], ["--port", "65536"], ["--port", "0"]]
)
def test_numbers_that_make_no_sense_are_refused(asked: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        demo.main(["--model", "quickstart", *asked])
    assert stopped.value.code == 2
    assert f"argument {asked[0]}: {asked[1]} is " in capsys.readouterr().err


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    (tmp_path / "best").mkdir()
    (tmp_path / "config.yaml").write_text("model: {name_or_path: quickstart, revision: null}\n", encoding="utf-8")
    return tmp_path


def test_the_base_model_is_the_one_that_the_run_names(run_folder: Path) -> None:
    assert demo.base_model_of_run(str(run_folder / "best")) == ("quickstart", None)
    (run_folder / "config.yaml").write_text("model: {name_or_path: a/b, revision: v1}\n", encoding="utf-8")
    assert demo.base_model_of_run(f"{run_folder}/best/") == ("a/b", "v1")


@pytest.mark.parametrize("content", ["", "model:", "model: text", "- 1", "model: {name_or_path: null}", "a: [", "\0"])
def test_a_config_of_something_else_names_none(run_folder: Path, content: str) -> None:
    (run_folder / "config.yaml").write_text(content, encoding="utf-8")
    assert demo.base_model_of_run(str(run_folder / "best")) is None


def test_a_name_on_the_hub_has_no_run_beside_it(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run_folder)
    assert demo.base_model_of_run("quickstart") is None
    assert demo.base_model_of_run("best") == ("quickstart", None)


class Beside:
    language = "de"


def test_a_base_model_that_was_found_but_is_gone_is_done_without(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run_folder / "config.yaml").write_text("model: {name_or_path: ./gone/model}\n", encoding="utf-8")
    assert demo._load_base(str(run_folder / "best"), None, beside=Beside, device="cpu") is None
    assert "note: without the base model that the run started from: " in capsys.readouterr().err
    with refused("--base_model", value="./gone/model"):
        demo._load_base(str(run_folder / "best"), "./gone/model", beside=Beside, device="cpu")


def test_the_base_model_hears_the_same_language(run_folder: Path) -> None:
    name, base = demo._load_base(str(run_folder / "best"), None, beside=Beside, device="cpu")
    assert (name, base.language) == ("quickstart", "de")
    assert demo._load_base(str(run_folder / "best"), "none", beside=Beside, device="cpu") is None
