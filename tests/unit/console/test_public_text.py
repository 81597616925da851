"""What of an address others may read."""

from pathlib import Path

import pytest

from accel_asr.config.command_line import parse_config, write_config
from accel_asr.config.command_secrets import refuse_secrets
from accel_asr.console import public_text
from accel_asr.console.public_text import (
    public,
    public_values,
    remember_secrets,
    visible,
    visible_lines,
    without_secrets,
)
from accel_asr.errors import UserError
from accel_asr.files.atomic_writes import to_json
from tests.refusals import refused


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "--data.name_or_path 'https://me:pass@host/a.tar?token=abc&x=1' --hub no?question",
            "--data.name_or_path 'https://(hidden)@host/a.tar?(hidden)' --hub no?question",
        ),
        ("https://host/a.tar", "https://host/a.tar"),
        ("me@home wrote this? yes", "me@home wrote this? yes"),
        ("", ""),
        ("http://me:p@ss@host/a", "http://(hidden)@host/a"),  # a password may hold an @
        ("https://onlyatoken@host/a", "https://(hidden)@host/a"),
        ("https://host/a.tar#access_token=abc", "https://host/a.tar#(hidden)"),
        ("https://host/{0..3}.tar?sig=x y", "https://host/{0..3}.tar?(hidden) y"),
        ('{"url": "https://host/a?b=\\"c"}', '{"url": "https://host/a?(hidden)\\"c"}'),  # it stays JSON
        ("X-Amz-Signature=abc&n=1, sig=q", "X-Amz-Signature=(hidden)&n=1, sig=(hidden)"),
        (
            "train --hub.token abc --hf-token=x --api_key 'y z'",
            "train --hub.token (hidden) --hf-token=(hidden) --api_key (hidden)",
        ),
        ("Authorization: Bearer abcdefgh1234", "Authorization: Bearer (hidden)"),
        ("hf_abcdefghijklmnopqrstuvwx", "(hidden)"),
        ("hf_transfer hf_hub_download pad_token=1", "hf_transfer hf_hub_download pad_token=1"),
    ],
)
def test_what_may_be_a_secret_in_an_address_is_hidden(text: str, expected: str) -> None:
    assert public(text) == expected


@pytest.fixture
def nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public_text, "_remembered", set())


@pytest.mark.usefixtures("nothing_remembered")
def test_a_part_of_an_address_is_hidden_without_the_rest_of_it() -> None:
    remember_secrets({"a": ["http://me:pass%40word@host/x.tar?sig=c0ffee00&part=one#other-fragment-of-many"]})
    assert without_secrets("the server does not know pass%40word") == "the server does not know (hidden)"
    assert without_secrets("nor pass@word nor c0ffee00") == "nor (hidden) nor (hidden)"
    assert without_secrets("me at host, part one") == "me at host, part one"


@pytest.mark.usefixtures("nothing_remembered")
def test_a_word_out_of_a_harmless_query_stays_in_texts() -> None:
    remember_secrets("https://host/a.tar?download=recording&token=abc")
    assert without_secrets("a recording of abc") == "a recording of abc"


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("HF_TOKEN", "hf_short1", "hf_short1"),
        ("WANDB_API_KEY", "0123456789abcdef", "0123456789abcdef"),
        ("AWS_SECRET_ACCESS_KEY", "wJalr/XUtn+FEMI", "wJalr/XUtn+FEMI"),
        ("https_proxy", "http://me:proxypass@127.0.0.1:9", "proxypass"),
    ],
)
def test_values_of_secret_variables_are_hidden_wherever_they_appear(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, secret: str
) -> None:
    monkeypatch.setenv(name, value)
    assert public(f"answer: {secret}!") == "answer: (hidden)!"
    assert to_json({"why": [f"x{secret}"]}) == '{"why": ["x(hidden)"]}'


@pytest.mark.parametrize(("name", "value"), [("HF_TOKEN_PATH", "abcdefgh"), ("MY_TOKEN", "/some/file"), ("A_PAT", "x")])
def test_paths_and_short_values_are_no_secrets(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert without_secrets(f"in {value}") == f"in {value}"


def test_all_strings_of_nested_settings_are_made_public() -> None:
    settings = {
        "data": {"name_or_path": "http://h/a?b", "sources": [{"name_or_path": "x://u:p@h"}]},
        "n": 1,
        "none": None,
    }
    shown = {"data": {"name_or_path": "http://h/a?(hidden)", "sources": [{"name_or_path": "x://(hidden)@h"}]}}
    assert public_values(settings) == {**shown, "n": 1, "none": None}


@pytest.mark.parametrize("option", ["--token", "--hf_token=abc", "--hub.hub-token", "--wandb_api_key", "--password=x"])
def test_a_secret_on_the_command_line_is_refused_and_not_repeated(option: str) -> None:
    with pytest.raises(UserError) as refusal:
        refuse_secrets(["push", "run", option, "SECRETVALUE"])
    error = refusal.value
    assert (error.setting, error.value, "HF_TOKEN" in str(error.remedy)) == (option.partition("=")[0], None, True)
    assert not [secret for secret in ("SECRETVALUE", "abc") if secret in str(error)]


def test_settings_whose_names_only_look_alike_are_taken() -> None:
    refuse_secrets(["--evaluation.generation_max_length", "5", "--data.text_column=token", "token"])


@pytest.mark.usefixtures("nothing_remembered")
def test_a_written_configuration_without_its_secret_asks_for_the_address(tmp_path: Path) -> None:
    sources = "[{name_or_path: 'https://h/a.tar?sig=abc'}, {name_or_path: b}]"
    config = parse_config(["--data.sources", sources, "--data.eval_rows", "5", "--model.name_or_path", "quickstart"])
    write_config(config, tmp_path / "config.yaml")
    assert "sig" not in (tmp_path / "config.yaml").read_text()
    with refused("--data.sources", "secret part", remedy="--data.sources"):
        parse_config(["--config", str(tmp_path / "config.yaml")])
    assert parse_config(["--config", str(tmp_path / "config.yaml"), "--data.sources", sources]) == config


def test_what_acts_on_a_screen_is_shown_as_text() -> None:
    acting = "a\x1b[31mb\r\nc\u202ed\u2066e\u2028f\x9bg\tg\x07"
    assert visible(acting) == r"a\x1b[31mb\r\nc\u202ed\u2066e\u2028f\x9bg\tg\x07"
    assert visible_lines(acting).splitlines() == [r"a\x1b[31mb\r", r"c\u202ed\u2066e\u2028f\x9bg\tg\x07"]
    assert visible("sk\udce5ne.wav") == r"sk\xe5ne.wav"  # a file name that is no UTF-8


def test_letters_of_all_writings_stay_as_they_are() -> None:
    assert visible("สวัสดี 👩\u200d👩 مرحبا \u200fä\\n") == "สวัสดี 👩\u200d👩 مرحبا \u200fä\\n"
