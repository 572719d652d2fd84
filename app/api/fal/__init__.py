"""The API for fal's own clients, and the route for fal's webhooks."""
