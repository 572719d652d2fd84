"""Signed messages to customers (Standard Webhooks 1.0)."""
