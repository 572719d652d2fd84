"""Images that come in, and results that outlive the upstream URL."""
