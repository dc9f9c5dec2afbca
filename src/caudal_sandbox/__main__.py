"""`python -m caudal_sandbox`."""

from caudal_sandbox.cli import main

if __name__ == "__main__":
    main()
