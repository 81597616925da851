"""Transcripts with times beside recordings: subtitles, annotations and what programs that transcribe write."""
