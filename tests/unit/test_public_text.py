"""What of an address others may read."""

import pytest

from accel_asr.public_text import public, without_controls


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
    ],
)
def test_what_may_be_a_secret_in_an_address_is_hidden(text: str, expected: str) -> None:
    assert public(text) == expected


def test_what_acts_on_a_screen_becomes_a_space() -> None:
    assert without_controls("a\x1b[31mb\r\nc\u202ed\u2066e\u2028f") == "a [31mb c d e f"
    assert without_controls("สวัสดี 👩\u200d👩 مرحبا") == "สวัสดี 👩\u200d👩 مرحبا"
