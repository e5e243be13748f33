"""Noticing: kernel hints, debounce, filters, scans and mounts."""
