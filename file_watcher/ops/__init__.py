"""Seeing it: health, metrics, logs."""
