"""Settling, hashing, reading tags and deciding what happened."""
