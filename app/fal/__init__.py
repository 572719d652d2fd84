"""The only room that calls fal."""
