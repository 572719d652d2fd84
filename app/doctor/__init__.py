"""`filmgate doctor`: checks of a whole installation, each bounded in time, each with what to do about a fault."""
