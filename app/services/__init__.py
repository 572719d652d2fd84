"""What one can ask for: the verbs of every door, without HTTP words and without Redis words."""
