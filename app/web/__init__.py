"""The dashboard and the API's reference: static pages that use /v1 with the visitor's own key."""
