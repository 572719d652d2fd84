"""What callers are shown: for each reply, webhook and live event a type, and the function that makes one.

The OpenAPI document is drawn from these types, and mypy finds a member that is missing, misspelt or unknown.
"""
