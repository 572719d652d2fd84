"""Filmgate: a self-hosted gateway in front of fal.ai's queue for Kling image-to-video."""

__version__ = "0.1.0"
