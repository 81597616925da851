"""Tests of accel_asr.run_comparison."""
