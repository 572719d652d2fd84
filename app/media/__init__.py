"""Checks of images, and the parts of unfinished uploads."""
