"""Transcripts of the device are those of the CPU, compiled or not."""

import functools

import pytest
import torch
from transformers import CompileConfig

from accel_asr.data.loading.clip_items import ClipItems
from accel_asr.data.loading.collator import Collator
from accel_asr.evaluation import compiled_decoding
from accel_asr.evaluation.decoding_settings import Decoding
from accel_asr.evaluation.generation import Transcription, transcribe_utterances
from tests.gpu.conftest import CPU, Start


@pytest.fixture
def transcribe(start: Start, fresh_model, clip_items: ClipItems, collator: Collator):
    """Transcribe the clips in batches of 3: on the device, or another; the rest is of `Decoding`."""

    def run(mixed_precision: str = "no", *, on: torch.device | None = None, **options) -> Transcription:
        accelerator = start(mixed_precision, **({"on": on} if on else {}))
        model = fresh_model().to(accelerator.device)
        decoding = Decoding.of_model(model, normalizer=str.lower, batch_size=3, **options)
        return transcribe_utterances(model, clip_items, decoding, accelerator=accelerator, collator=collator)

    return run


def texts(transcription: Transcription) -> list[str]:
    return [row.hypothesis for row in transcription.transcripts]


def test_transcripts_and_loss(transcribe) -> None:
    of_the_cpu, on_device = transcribe(on=CPU), transcribe()
    assert texts(on_device) == texts(of_the_cpu)
    assert len(set(texts(of_the_cpu))) > 3  # the clips are told apart
    assert on_device.loss == pytest.approx(of_the_cpu.loss, rel=1e-5)


def test_the_loss_in_bf16(transcribe) -> None:
    assert transcribe("bf16").loss == pytest.approx(transcribe(on=CPU).loss, rel=0.02)


def test_compiled_transcripts(transcribe, device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    if device.type == "cpu":  # traced only: compiling takes ten times as long, and tests/unit/evaluation does it
        traced = functools.partial(CompileConfig, backend="eager")
        monkeypatch.setattr(compiled_decoding, "CompileConfig", traced)
    torch._dynamo.reset()
    assert texts(transcribe(is_compiled=True)) == texts(transcribe())
