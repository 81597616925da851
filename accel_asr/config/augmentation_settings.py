"""Settings of the sections that change what training hears; all of them are off by default."""

from collections.abc import Iterator
from dataclasses import dataclass, fields

from accel_asr.errors import UserError


@dataclass(frozen=True)
class AugmentConfig:
    """Changes to the sound of training clips, drawn anew for each clip and epoch; validation is never changed. Each
    effect is off while its probability is 0; they are applied in this order."""

    speed_prob: float = 0.0
    """Share of the clips that are played faster or slower, which moves their pitch, as Kaldi does it."""
    min_rate: float = 0.9
    """The slowest speed; a clip that would be longer than the model's window is slowed down less."""
    max_rate: float = 1.1
    """The fastest speed."""
    pitch_prob: float = 0.0
    """Share of the clips whose pitch is moved, and their length kept; needs `pip install 'accel-asr[augment]'`."""
    min_semitones: float = -4.0
    """The furthest that a pitch is moved down."""
    max_semitones: float = 4.0
    """The furthest that a pitch is moved up."""
    room_prob: float = 0.0
    """Share of the clips that sound as if in a room: with a made-up reverberation, as loud as before."""
    min_target_rt60: float = 0.15
    """The shortest time in which a room's sound decays by 60 dB, in seconds."""
    max_target_rt60: float = 0.8
    """The longest such time."""
    noise_prob: float = 0.0
    """Share of the clips that get noise from `augment.noise_dir`."""
    noise_dir: str | None = None
    """Folder of recordings of noise, of any length and format; a random excerpt of a random one is added, and a short
    one is repeated."""
    min_snr_db: float = 3.0
    """The loudest noise: the level of the speech, where there is any, over that of the noise."""
    max_snr_db: float = 30.0
    """The softest noise."""
    gain_prob: float = 0.0
    """Share of the clips that are made louder or softer; none is made so loud that it would clip."""
    min_gain_db: float = -12.0
    """The softest."""
    max_gain_db: float = 12.0
    """The loudest."""
    band_limit_prob: float = 0.0
    """Share of the clips of which only 300 to 3,400 Hz are left."""
    telephone_prob: float = 0.0
    """Share of the clips that pass through a telephone: 300 to 3,400 Hz at 8 kHz, coded by mu-law, A-law or GSM."""
    mp3_prob: float = 0.0
    """Share of the clips that are compressed as MP3."""
    min_bitrate: int = 8
    """The lowest bit rate, in kbit/s."""
    max_bitrate: int = 64
    """The highest bit rate."""
    shift_prob: float = 0.0
    """Share of the clips that get silence before them, of a random length up to what the model's window leaves. The
    clips of a pack (`training.pack`) are moved together."""
    max_shift_s: float | None = None
    """The most silence, in seconds; unset, that is the whole window."""

    @property
    def is_on(self) -> bool:
        """Whether any effect is."""
        return any(getattr(self, name) for name in EFFECT_PROBABILITIES)

    @property
    def slowest(self) -> float:
        """How many times as long as it was a clip may become."""
        return max(1.0, 1 / self.min_rate) if self.speed_prob else 1.0


@dataclass(frozen=True)
class SpecAugmentConfig:
    """Masks on the log-mel features of training clips, on frames with audio and never on padding. A mask has the
    clip's mean. Other masks in each epoch, whatever the number of workers and processes."""

    enabled: bool = False
    """Mask training clips. The other settings of this section need it. A model whose own `config.json` has
    `apply_spec_augment` loses that, which masks mostly padding."""
    mask_time_prob: float = 0.2
    """A clip of so many frames (100 a second) gets `mask_time_prob` x frames / `mask_time_length` masks over all bins,
    rounded up or down at random: two for 10 s. At most half of a clip is masked."""
    mask_time_length: int = 100
    """Longest mask in frames of 10 ms: each has a random length from 0 to this or, if that is shorter, a fifth of the
    clip."""
    mask_feature_prob: float = 0.7
    """A clip gets `mask_feature_prob` x mel bins / `mask_feature_length` masks over all of its frames, rounded up or
    down at random: two for 80 bins."""
    mask_feature_length: int = 27
    """Widest mask in mel bins: each has a random width from 0 to this."""


EFFECT_PROBABILITIES = tuple(setting.name for setting in fields(AugmentConfig) if setting.name.endswith("_prob"))
_RANGES = ("rate", "semitones", "target_rt60", "snr_db", "gain_db", "bitrate")  # each has a min and a max


def augment_errors(settings: AugmentConfig, *, cache_encoder_outputs: bool) -> Iterator[UserError]:
    """What does not go together in the section, or with `model.cache_encoder_outputs`."""
    for name in _RANGES:
        low, high = getattr(settings, f"min_{name}"), getattr(settings, f"max_{name}")
        if low > high:
            problem, remedy = f"is below --augment.min_{name} {low}", "give a larger one"
            yield UserError(problem, setting=f"--augment.max_{name}", value=high, remedy=remedy)
    if settings.noise_prob and settings.noise_dir is None:
        remedy = "give a folder of recordings of noise"
        yield UserError("is not set, and --augment.noise_prob needs it", setting="--augment.noise_dir", remedy=remedy)
    yield from _switched_off_effect_errors(settings)
    for name in EFFECT_PROBABILITIES:
        if cache_encoder_outputs and getattr(settings, name):
            yield UserError(
                "does not go with --model.cache_encoder_outputs, which hears each clip once, before training",
                setting=f"--augment.{name}",
                value=getattr(settings, name),
                remedy="leave out one of them",
            )


def _switched_off_effect_errors(settings: AugmentConfig) -> Iterator[UserError]:
    """Settings of an effect whose probability is 0, which would do nothing: those that follow the probability."""
    probability = EFFECT_PROBABILITIES[0]
    for setting in fields(settings):
        value = getattr(settings, setting.name)
        if setting.name in EFFECT_PROBABILITIES:
            probability = setting.name
        elif value != setting.default and not getattr(settings, probability):
            yield UserError(
                f"does nothing without --augment.{probability}",
                setting=f"--augment.{setting.name}",
                value=value,
                remedy=f"add --augment.{probability} 0.3, or leave it out",
            )
