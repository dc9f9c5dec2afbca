"""`python -m caudal_load`, and the program `caudal-load`."""

import gc


def main() -> None:
    """Loads everything and runs it.

    What is loaded stays: searching it for garbage, again and again while it grows, was a third of a start.
    """
    gc.disable()
    from caudal_load import cli

    gc.freeze()
    gc.enable()
    cli.main()


if __name__ == "__main__":
    main()
