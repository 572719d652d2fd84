"""The models and their prices: one JSON file for each of fal's endpoints, read once; all else is pure."""
