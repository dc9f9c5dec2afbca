"""`python -m caudal`, and the program `caudal`."""

import gc


def main() -> None:
    """Loads everything and runs it.

    What is loaded stays: searching it for garbage, again and again while it grows, was a sixth of a start.
    """
    gc.disable()
    from caudal.app import cli

    cli.whole()
    gc.freeze()
    gc.enable()
    cli.main()


if __name__ == "__main__":
    main()
