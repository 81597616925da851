"""accel_asr: fine-tune Whisper on your own recordings with Hugging Face Accelerate."""

__version__ = "0.1.0"
