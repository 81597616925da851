"""The benchmark of merged padding: its sets of clips, its ways of hearing, and what it says of them."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

from accel_asr.evaluation.normalizers import normalizer_named
from accel_asr.model import silence_merging
from accel_asr.model.pretrained import load_model_and_processor, quiet_libraries
from accel_asr.model.silence_merging import KeptPositions
from benchmarks.merging import rows
from benchmarks.merging.clips import RATE_HZ, ROOM_S, Clip, Recording, clips_of, read_recordings
from benchmarks.merging.hearing import Heard, Listener, Way, as_asked, cosine, mean_embeddings, middle_embeddings
from tests.tiny_models import make_tiny_whisper

WHOLE = Way.parse("whole")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[Recording]:
    """Two speakers with six recordings of 1 s each: a tone with silence around it."""
    folder = tmp_path_factory.mktemp("recordings")
    lines = []
    for number in range(12):
        tone = np.sin(np.arange(RATE_HZ) * (0.05 + 0.01 * number)) * (np.arange(RATE_HZ) % RATE_HZ > RATE_HZ // 2)
        soundfile.write(folder / f"{number}.flac", 0.3 * tone, RATE_HZ)
        row = {"file": f"{number}.flac", "text": f"word{number}", "language": "en", "speaker": f"s{number % 2}"}
        lines.append(json.dumps(row))
    (folder / "manifest.jsonl").write_text("\n".join(lines))
    return read_recordings([folder])


@pytest.fixture(scope="module")
def listener(tmp_path_factory: pytest.TempPathFactory) -> Listener:
    """Of a random Whisper with a window of 12 s."""
    quiet_libraries()
    folder = make_tiny_whisper(tmp_path_factory.mktemp("twelve-seconds"), max_source_positions=600)
    return Listener(*load_model_and_processor(str(folder)))


def test_joined_clips_are_whole_recordings_of_one_speaker(recordings: list[Recording]) -> None:
    clips = clips_of("3s", recordings, 2)
    assert [len(clip.samples) for clip in clips] == [2 * RATE_HZ] * 2  # a third would reach 3 s
    for clip in clips:
        words = [int(number) for number in re.findall(r"word(\d+)", clip.text or "")]
        assert len(words) == 2
        assert words[0] % 2 == words[1] % 2
        parts = [next(r for r in recordings if r.text == f"word{word}").clip().samples for word in words]
        assert np.array_equal(clip.samples, np.concatenate(parts))


def test_a_clip_that_is_too_long_is_cut_and_has_no_text(recordings: list[Recording]) -> None:
    (folder,) = {recording.path.parent for recording in recordings}
    (clip,) = clips_of("1s", [Recording(folder / "0.flac", "word0", "en", "s0")], 5)
    assert (len(clip.samples), clip.text) == (RATE_HZ, None)


def test_noise_is_in_the_recording_alone_and_the_same_every_time(recordings: list[Recording]) -> None:
    clean, noisy, again = (clips_of(name, recordings, 3) for name in ("clean", "pink-10dB", "pink-10dB"))
    for clip, with_noise, same in zip(clean, noisy, again, strict=True):
        assert len(with_noise.samples) == len(clip.samples)
        assert np.array_equal(with_noise.samples, same.samples)
        noise, speech = with_noise.samples - clip.samples, clip.samples[RATE_HZ // 2 :]
        assert 10 * np.log10(np.mean(speech**2) / np.mean(noise**2)) == pytest.approx(10, abs=1)
    room = clips_of("room-10dB", recordings, 1)[0]
    assert room.seconds == clean[0].seconds + ROOM_S
    assert np.abs(room.samples[-RATE_HZ:]).max() > 0.001
    with pytest.raises(ValueError, match="brown-10dB"):
        clips_of("brown-10dB", recordings, 1)


def test_a_telephone_has_nothing_above_4_khz(recordings: list[Recording]) -> None:
    spectrum = np.abs(np.fft.rfft(clips_of("8kHz", recordings, 1)[0].samples))
    assert spectrum[len(spectrum) * 5 // 8 :].max() < 0.01 * spectrum.max()


def test_a_way_is_named_by_words() -> None:
    way = Way.parse("k=8,margin=3,end=0,mean,bf16")
    assert (way.factor, way.margin_s, way.end_s, way.is_mean, way.is_bf16) == (8, 3.0, 0.0, True, True)
    assert Way.parse("merged") == Way()
    with pytest.raises(ValueError, match="'k'"):
        Way.parse("k")


def test_the_embedding_of_a_group_may_be_its_middle_or_the_mean_of_all() -> None:
    embedding = nn.Embedding(12, 4)
    # 0, 1, then 2 to 5, 6 to 8, 9 and 10, 11
    kept = KeptPositions(torch.tensor([[0, 1, 4, 7, 10, 11]]), torch.tensor([[1.0, 1.0, 4.0, 3.0, 2.0, 1.0]]).log())
    weight = embedding.weight.detach()
    assert torch.equal(middle_embeddings(embedding, kept)[0], weight[[0, 1, 4, 7, 10, 11]])
    groups = ([0], [1], [2, 3, 4, 5], [6, 7, 8], [9, 10], [11])
    means = torch.stack([weight[group].mean(0) for group in groups])
    torch.testing.assert_close(mean_embeddings(embedding, kept)[0], means)


def test_what_no_setting_changes_is_as_before_afterwards() -> None:
    centre, most = silence_merging._centre_embeddings, silence_merging.MOST_KEPT
    with as_asked(Way.parse("mean,always")):
        assert (silence_merging._centre_embeddings, silence_merging.MOST_KEPT) == (mean_embeddings, 1.0)
    assert (silence_merging._centre_embeddings, silence_merging.MOST_KEPT) == (centre, most)


def test_a_factor_of_one_is_the_whole_window(listener: Listener, recordings: list[Recording]) -> None:
    clips, none_merged = clips_of("clean", recordings, 3), Way.parse("k=1")
    assert [heard.text for heard in listener.transcribe(clips, none_merged)] == [
        heard.text for heard in listener.transcribe(clips, WHOLE)
    ]
    whole, same, other = (listener.gradient(clips, way) for way in (WHOLE, none_merged, Way.parse("k=8,margin=0")))
    assert cosine(whole, same) == pytest.approx(1, abs=1e-9)
    assert cosine(whole, other) < 1 - 1e-6  # random weights hardly hear the padding
    assert listener.kept_count(clips[0], Way.parse("k=8")) < listener.kept_count(clips[0], WHOLE) == 600


def test_transcripts_that_are_there_are_not_made_again(
    listener: Listener, recordings: list[Recording], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, clips = rows.Results(tmp_path), clips_of("clean", recordings, 4)
    heard: list[str] = []

    def transcribe(some: list[Clip], way: Way) -> list[Heard]:
        heard.extend(clip.clip_id for clip in some)
        return [Heard(clip.clip_id, clip.text or "") for clip in some]

    monkeypatch.setattr(listener, "transcribe", transcribe)
    rows.transcripts(listener, "clean", clips[:2], WHOLE, results)
    assert [each.text for each in rows.transcripts(listener, "clean", clips, WHOLE, results)] == [c.text for c in clips]
    assert sorted(heard) == sorted(clip.clip_id for clip in clips)


def test_a_row_counts_what_is_the_same_and_compares_word_errors() -> None:
    clips = [Clip(str(number), np.zeros(1), "one two", "en") for number in range(4)]
    whole = [Heard("", text) for text in ("one two", "one two", "one two", "one three")]
    merged = [Heard("", text) for text in ("one two", "One, two", "one", "one three")]
    cells = rows.agreement(clips, merged, whole, normalizer_named("basic", spelling=None))
    assert cells[:4] == ["2 of 4 (50.0%)", "3 of 4 (75.0%)", "12.50%", "25.00%"]
    assert cells[4].startswith("+12.50 (+0.00 to ")
    ends = rows.ends_of_speech([Heard("", "", 2.0), Heard("", "", 3.0)], [Heard("", "", 2.08), Heard("", "", 3.0)])
    assert ends == "1 of 2 equal, 2 within 0.1 s, mean 0.04 s"
