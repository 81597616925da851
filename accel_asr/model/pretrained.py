"""Load a Whisper model with its processor, set its language and task, save it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from huggingface_hub.utils import logging as hub_logging
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import (
    GenerationConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)
from transformers.utils import logging
from xxhash import xxh3_128

from accel_asr.console.bars import waiting_is_said
from accel_asr.errors import UserError
from accel_asr.model.adapter_layers import base_tensors, has_adapters, merged, save_adapters
from accel_asr.model.adapter_merging import merge_adapter
from accel_asr.model.folder.configuration import ARCHITECTURE
from accel_asr.model.folder.examination import SETTING, examine, say_notes, why_no_weights
from accel_asr.model.folder.folder_files import raise_hub_problem
from accel_asr.model.folder.generation_settings import is_multilingual, usable_alignment_heads
from accel_asr.model.languages import NO_STAND_INS, language_of_labels
from accel_asr.model.spelling import require_spelling
from accel_asr.model.whisper_for_training import WhisperForTraining
from accel_asr.quickstart import model_source


def quiet_libraries() -> None:
    """Errors only, and no progress bars for cached files.

    `generate` warns at every call about settings that are right, and an unreachable Hub is reported by us, once.
    """
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    hub_logging.set_verbosity_error()


def load_model_and_processor(
    name_or_path: str, *, revision: str | None = None
) -> tuple[WhisperForTraining, WhisperProcessor]:
    """Load from a local folder, the Hub, or the embedded quickstart; weights in fp32, attention by SDPA.

    An adapter's folder gives its base model with the adapter merged into it.
    Safetensors only: a pickled checkpoint could run code. Notes on what is not used go to stderr.

    Raises:
        UserError: not found, not a whole Whisper whose parts fit together, or the Hub can't be reached.
    """
    source = model_source(name_or_path)
    examined = examine(source, name=name_or_path, revision=revision)
    base, tokenizer, audio = examined.weights_at, examined.tokenizer_at, examined.audio_at
    try:
        with waiting_is_said(f"loading the model {name_or_path}"):
            # from_pretrained would keep a half precision checkpoint in half; training needs fp32 master weights
            model, loaded = WhisperForTraining.from_pretrained(
                base.source,
                revision=base.revision,
                dtype=torch.float32,
                attn_implementation="sdpa",
                use_safetensors=True,
                output_loading_info=True,
            )
            if tokenizer == audio:
                processor = WhisperProcessor.from_pretrained(audio.source, revision=audio.revision)
            else:  # an adapter with one of them
                processor = WhisperProcessor(
                    WhisperFeatureExtractor.from_pretrained(audio.source, revision=audio.revision),
                    WhisperTokenizer.from_pretrained(tokenizer.source, revision=tokenizer.revision),
                )
            if examined.generation_at != base:
                at = examined.generation_at
                model.generation_config = GenerationConfig.from_pretrained(at.source, revision=at.revision)
    except Exception as error:  # transformers checks little of what it reads, and raises whatever comes of it
        if not Path(base.source).exists():
            why = why_no_weights(base.source, revision=base.revision, config=examined.config)
            raise_hub_problem(name_or_path, OSError(why) if why else error)
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise UserError(
            f"can't be loaded as a Whisper model and its processor ({reason})", setting=SETTING, value=name_or_path
        ) from error
    missing = sorted(loaded["missing_keys"])
    if missing:  # from_pretrained fills them with random numbers
        raise UserError(f"lacks weights: {', '.join(missing)}", setting=SETTING, value=name_or_path)
    if examined.adapter_weights is not None:
        model = merge_adapter(model, examined.adapter_weights, name=name_or_path)
    damaged = not_finite(dict(model.named_parameters()))
    if damaged:
        raise UserError(
            f"has weights that are not finite (NaN, infinity): {named_not_finite(damaged)}",
            setting=SETTING,
            value=name_or_path,
            remedy="its training diverged: give an earlier checkpoint",
        )
    require_spelling(processor.tokenizer, model_name=name_or_path)
    _keep_usable_alignment_heads(model)
    say_notes(examined.notes, name=name_or_path)
    # sinusoids, not weights; transformers 5 marks them as trainable when it loads a model
    model.get_encoder().embed_positions.requires_grad_(False)
    return model, processor


def configure_generation(
    model: WhisperForConditionalGeneration,
    processor: WhisperProcessor,
    *,
    language: str | None,
    task: str,
    max_new_tokens: int,
    num_beams: int,
    language_of_rows: bool = False,
    stand_ins: Mapping[str, str] = NO_STAND_INS,
) -> None:
    """Write language, task, length and beams into the model's generation settings and its tokenizer.

    So labels start with the tokens that `generate` is given, no language is detected for each clip, and whoever loads
    the saved model, `pipeline` included, transcribes as it was scored here.

    Args:
        max_new_tokens: Most tokens of a transcript, start tokens not counted; cut to what the decoder can hold.
        language_of_rows: Rows name their language: without a `language` the saved model detects it.
        stand_ins: `model.language_stand_ins`.

    Raises:
        UserError: as `language_of_labels`.
    """
    generation = model.generation_config
    generation.forced_decoder_ids = None  # the old way to set the language; it would contradict the new one
    if getattr(model.config, "forced_decoder_ids", None) is not None:
        model.config.forced_decoder_ids = None
    has_languages = is_multilingual(generation)
    code = language_of_labels(
        language,
        task,
        is_multilingual=has_languages,
        lang_to_id=getattr(generation, "lang_to_id", None),
        language_of_rows=language_of_rows,
        stand_ins=stand_ins,
    )
    if has_languages:
        generation.language, generation.task = code, task
        # where only rows name a language, theirs replaces this one in every label
        processor.tokenizer.set_prefix_tokens(language=code or "en", task=task, predict_timestamps=False)
    room = model.config.max_target_positions - len(processor.tokenizer.prefix_tokens)
    generation.max_length = None
    generation.max_new_tokens = min(max_new_tokens, room)
    generation.num_beams = num_beams


def allow_empty_transcripts(model: WhisperForConditionalGeneration) -> None:
    """Let a transcript be empty, for a model that learns to write nothing for clips without speech.

    Whisper's settings don't let the first token be the end of the text (`begin_suppress_tokens`: it and a blank), so a
    model that expects it there writes its second choice, such as "you". Saved with the model, and so for all programs.
    """
    model.generation_config.begin_suppress_tokens = None


def window_s(processor: WhisperProcessor) -> float:
    """The encoder's window in seconds: 30 for OpenAI's models."""
    extractor = processor.feature_extractor
    return extractor.n_samples / extractor.sampling_rate


def require_constant_encoder(model: WhisperForConditionalGeneration) -> None:
    """The encoder's outputs can be cached only if they are the same in every epoch.

    Raises:
        UserError: the model's configuration has dropout, layer drop or SpecAugment.
    """
    config = model.config
    chances = {
        "apply_spec_augment": config.apply_spec_augment,
        "dropout": config.dropout,
        "attention_dropout": config.attention_dropout,
        "activation_dropout": config.activation_dropout,
        "encoder_layerdrop": config.encoder_layerdrop,
    }
    random_parts = ", ".join(f"{name} {value}" for name, value in chances.items() if value)
    if random_parts:
        raise UserError(
            f"the encoder's outputs differ from epoch to epoch: the model's config.json has {random_parts}",
            setting="--model.cache_encoder_outputs",
            value=True,
            remedy="set that to 0 or false there, or leave this out",
        )


def encoder_digest(model: WhisperForConditionalGeneration) -> str:
    """A checksum of the encoder's weights and settings: equal encoders give equal outputs."""
    config = model.config
    digest = hashlib.sha256(
        f"{config.encoder_attention_heads} {config.activation_function} {config.scale_embedding}".encode()
    )
    for name, tensor in sorted(model.get_encoder().state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()


_TRAINS_ALIKE = ("drop", "mask_", "apply_spec_augment", "activation_function", "scale_embedding", "attention_heads")
_TOKEN_SETTINGS = ("is_multilingual", "decoder_start_token_id", "suppress_tokens", "begin_suppress_tokens")


def base_digest(model: WhisperForConditionalGeneration, processor: WhisperProcessor) -> str:
    """A checksum of the base model: weights, the settings that training depends on, vocabulary and features.

    It depends on the content only, not on the folder or revision, and not on adapters.
    """
    config, extractor = model.config.to_dict(), processor.feature_extractor
    digest = xxh3_128()
    for name, tensor in sorted(base_tensors(model).items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.cpu().contiguous().numpy().data)
    facts = {name: value for name, value in config.items() if any(part in name for part in _TRAINS_ALIKE)}
    facts["features"] = [extractor.feature_size, extractor.sampling_rate, extractor.hop_length, extractor.n_fft]
    facts["window"] = extractor.chunk_length
    facts["tokens"] = [getattr(model.generation_config, name, None) for name in _TOKEN_SETTINGS]
    digest.update(json.dumps([facts, sorted(processor.tokenizer.get_vocab().items())], sort_keys=True).encode())
    return digest.hexdigest()


def not_finite(tensors: Mapping[str, torch.Tensor]) -> list[str]:
    """The names of the tensors that hold NaN or infinity, such as weights or the optimizer's moments.

    Reads each tensor once, and waits for the device once.
    """
    floats = {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point() and tensor.numel()}
    if not floats:
        return []
    # a sum is not finite where a term is not, and ten times as fast as isfinite; it may also overflow by itself, so
    # suspects are checked
    sums = torch.stack([tensor.sum(dtype=torch.float32) for tensor in floats.values()])
    suspects = [name for name, is_finite in zip(floats, sums.isfinite().tolist(), strict=True) if not is_finite]
    return [name for name in suspects if not bool(floats[name].isfinite().all())]


def not_finite_in_file(path: Path) -> list[str]:
    """As `not_finite`, of a safetensors file; one tensor at a time.

    Raises:
        OSError, SafetensorError: it can't be read.
    """
    with safe_open(path, "pt") as file:
        return [name for name in file.keys() if not_finite({name: file.get_tensor(name)})]  # noqa: SIM118


def require_finite_folder(folder: Path) -> None:
    """Refuse to publish a model folder whose weights are not finite.

    Raises:
        UserError: some are not, or can't be read.
    """
    for path in sorted(folder.glob("*.safetensors")):
        try:
            broken = not_finite_in_file(path)
        except (OSError, SafetensorError) as error:
            raise UserError(f"can't be read ({error}); nothing is published", value=path) from error
        if broken:
            raise UserError(
                f"weights are not finite ({named_not_finite(broken)}): training diverged; nothing is published",
                value=path,
                remedy="train again with a lower --training.learning_rate or --training.weight_decay",
            )


def named_not_finite(names: Sequence[str]) -> str:
    """The first of these names and how many more there are."""
    return f"{names[0]}, and {len(names) - 1:,} more tensors" if len(names) > 1 else names[0]


def parameter_counts(model: nn.Module) -> tuple[int, int]:
    """(all, trainable) parameters."""
    parameters = list(model.parameters())
    return sum(p.numel() for p in parameters), sum(p.numel() for p in parameters if p.requires_grad)


def save_model_folder(
    model: WhisperForConditionalGeneration, processor: WhisperProcessor, folder: Path, **save_options: object
) -> None:
    """Write a Hugging Face model folder (safetensors, tokenizer, generation settings) that `pipeline` loads.

    Adapters are merged into a copy.
    """
    model = merged(model) if has_adapters(model) else model
    model.save_pretrained(folder, **save_options)
    model.config.architectures = [ARCHITECTURE]  # save_pretrained has named its own class there
    model.config.save_pretrained(folder)
    _save_processor(processor, folder)


def save_adapter_folder(model: WhisperForConditionalGeneration, processor: WhisperProcessor, folder: Path) -> None:
    """Write a peft folder of a model's adapters, with the processor and the generation settings (language, task)."""
    save_adapters(model, folder)
    model.generation_config.save_pretrained(folder)
    _save_processor(processor, folder)


def _save_processor(processor: WhisperProcessor, folder: Path) -> None:
    processor.save_pretrained(folder)
    # transformers 5 leaves out what other tools read, and what its own tokenizer.normalize needs when loaded again
    processor.feature_extractor.save_pretrained(folder)
    spelling = processor.tokenizer.english_spelling_normalizer
    if spelling is not None:
        (folder / "normalizer.json").write_text(json.dumps(spelling, indent=2, ensure_ascii=False), encoding="utf-8")


def _keep_usable_alignment_heads(model: WhisperForConditionalGeneration) -> None:
    """Drop alignment heads that the decoder lacks, before it is saved or exported: CTranslate2 crashes on them."""
    settings, config = model.generation_config, model.config
    heads = getattr(settings, "alignment_heads", None)
    usable, others = usable_alignment_heads(
        heads, layers=config.decoder_layers, heads_of_layer=config.decoder_attention_heads
    )
    if others and usable:
        settings.alignment_heads = usable
    elif heads is not None and not usable:
        del settings.alignment_heads  # not []: without it, other programs choose heads themselves
