"""`python -m caudal`, and the program `caudal`."""

import gc
import sys


def main() -> None:
    """Loads everything and runs it.

    What is loaded stays: searching it for garbage, again and again while it grows, was a sixth of a start.
    """
    gc.disable()
    from caudal.app import cli

    command = cli.loaded(sys.argv[1:])
    gc.freeze()
    gc.enable()
    cli.main(command)


if __name__ == "__main__":
    main()
