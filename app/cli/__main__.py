"""`python -m app.cli`: the same as `filmgate`."""

from app.cli import main

main()
