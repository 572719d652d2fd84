"""The doors that speak as fal does: its clients will come in here; its webhooks do."""
