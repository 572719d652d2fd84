"""HTTP doors: parse, one call, render."""
