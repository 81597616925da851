"""A Whisper model: loading, examining its folder, languages, encoder context, loss."""
