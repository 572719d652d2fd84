"""The only room that speaks to fal."""
