"""From a model's folder or name to a transcriber on a device; and which model it is, by a checksum."""

from collections.abc import Sequence

import torch
from xxhash import xxh3_64

from accel_asr.config.fallback_settings import WHISPERS_FALLBACK, Fallback
from accel_asr.errors import UserError
from accel_asr.files.atomic_writes import to_json
from accel_asr.model.folder.generation_settings import is_multilingual
from accel_asr.model.languages import known_language, require_english
from accel_asr.model.pretrained import load_model_and_processor, quiet_libraries, window_s
from accel_asr.model.silence_merging import SilenceMerging
from accel_asr.model.spelling import Spelling
from accel_asr.transcription.previous_text import listed_keywords, previous_text, require_previous_text
from accel_asr.transcription.transcriber import Transcriber
from accel_asr.transcription.voice_activity import require_voice_activity, speech_finder


def load_transcriber(
    name_or_path: str,
    *,
    revision: str | None = None,
    device: str | None = None,
    language: str | None = None,
    task: str | None = None,
    num_beams: int | None = None,
    fallback: Fallback = WHISPERS_FALLBACK,
    audio_context: str = "full",
    initial_prompt: str | None = None,
    keywords: Sequence[str] = (),
    word_timestamps: bool = False,
    vad: str = "none",
) -> Transcriber:
    """Load a model, put it on a device, and check that it knows the language and task.

    Args:
        device: Such as `cpu`, `cuda:1`, `mps`; None takes an accelerator if there is one.
        language: Code or name; None is the one that the model was tuned for, or detected.
        task: None is the one that the model was tuned for, or `transcribe`.
        audio_context: `full`, or `merged`: the padding of short recordings is merged.
        initial_prompt, keywords: See `PreviousText`; an entry of the keywords that ends with `.txt` is a file of them.
        vad: `none`, `energy`, `silero`: what finds the parts to transcribe.

    Raises:
        UserError: no such device or model, or it does not know that language or task; or can't be given texts before;
            or what finds speech is not installed.
    """
    if audio_context not in ("full", "merged"):
        remedy = "give full or merged"
        raise UserError("there is no such context", setting="--audio_context", value=audio_context, remedy=remedy)
    require_voice_activity(vad)
    listed = listed_keywords(keywords, setting="--keywords")
    chosen = find_device(device)
    quiet_libraries()
    model, processor = load_model_and_processor(name_or_path, revision=revision)
    for setting, value in (("--initial_prompt", initial_prompt), ("--keywords", ",".join(keywords))):
        if value:
            require_previous_text(processor.tokenizer, setting=setting, value=value)
    settings = model.generation_config
    settings.forced_decoder_ids = None  # the old way to set the language; it would contradict the new one
    assumes_language = False
    if not is_multilingual(settings):
        require_english(language, task, options="--")
        language = task = None
    elif getattr(settings, "lang_to_id", None) is None:
        if language is not None:
            known_language(language, None, setting="--language")  # raises
        if task == "translate":
            raise UserError("the model's generation settings list no tasks", setting="--task", value=task)
        language = task = None
    else:
        tuned_for = getattr(settings, "language", None) or None
        assumes_language = not language and tuned_for is not None
        language = language or tuned_for
        language = None if language is None else known_language(language, settings.lang_to_id, setting="--language")
        task = task or getattr(settings, "task", None) or "transcribe"
    model.to(chosen).eval()
    transcriber = Transcriber(
        model,
        processor,
        language=language,
        task=task,
        num_beams=num_beams,
        assumes_language=assumes_language,
        fallback=fallback,
        merging=SilenceMerging.of_model(model, window_s=window_s(processor)) if audio_context == "merged" else None,
        previous=previous_text(Spelling(processor.tokenizer), initial_prompt=initial_prompt, keywords=listed),
        word_timestamps=word_timestamps,
        find_speech=speech_finder(vad, sampling_rate_hz=processor.feature_extractor.sampling_rate),
    )
    transcriber.require_room_for_keywords()
    return transcriber


def find_device(name: str | None) -> torch.device:
    """The device of that name; for None an accelerator, or else the CPU.

    Raises:
        UserError: there is no such device here; the remedy lists those there are.
    """
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if name is None:
        return accelerator or torch.device("cpu")
    count = torch.accelerator.device_count() if accelerator is not None else 0
    here = ["cpu", *([accelerator.type] if accelerator else [])]
    here += [f"{accelerator.type}:{index}" for index in range(count) if accelerator is not None]
    if name not in here:
        raise UserError(
            "there is no such device here", setting="--device", value=name, remedy=f"give one of {', '.join(here)}"
        )
    return torch.device(name)


def weights_and_settings_hash(transcriber: Transcriber) -> str:
    """A checksum of all weights and generation settings: of equal models, wherever they lie."""
    settings = transcriber.model.generation_config.to_diff_dict()
    settings.pop("transformers_version", None)
    digest = xxh3_64(to_json(settings).encode())
    for name, weights in transcriber.model.state_dict().items():
        digest.update(name.encode())
        digest.update(weights.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
