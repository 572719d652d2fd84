"""What can be made, and what it costs: one JSON file for each of fal's endpoints, read once, then pure."""
