"""`python -m caudal_load` is `caudal-load`."""

from caudal_load.cli import main

main()
