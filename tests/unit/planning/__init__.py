"""Tests of accel_asr.planning."""
