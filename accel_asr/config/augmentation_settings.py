"""Settings of the sections that change what training hears; all of them are off by default."""

from dataclasses import dataclass, fields


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
    """The most silence, in seconds. With `training.audio_context: speech` each step makes room for it; unset, that is
    the whole window."""

    @property
    def is_on(self) -> bool:
        """Whether any effect is."""
        return any(getattr(self, each.name) > 0 for each in fields(self) if each.name.endswith("_prob"))

    @property
    def slowest(self) -> float:
        """How many times as long as it was a clip may become."""
        return max(1.0, 1 / self.min_rate) if self.speed_prob else 1.0

    @property
    def most_shift_s(self) -> float:
        """The most silence that may come before a clip."""
        if not self.shift_prob:
            return 0.0
        return float("inf") if self.max_shift_s is None else self.max_shift_s
