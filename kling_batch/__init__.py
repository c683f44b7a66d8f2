"""Turns a manifest of prompts into verified sound files, and never pays twice for a sound."""

__version__ = "0.1.0"
