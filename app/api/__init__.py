"""The HTTP API: parse a request, make one call, render the reply."""
