"""Replies, webhook bodies and live events: a type for each, and the function that builds it.

The OpenAPI document is generated from these types, and mypy reports a member that is missing, misspelt or unknown.
"""
