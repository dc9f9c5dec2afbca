"""`python -m caudal`."""

from caudal.app.cli import main

main()
