"""Checkpoints turned into files for others."""
