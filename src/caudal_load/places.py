"""Files that a command writes at its end: looked at before anything starts, for no run is to be lost with its page."""

import sys
from pathlib import Path

import typer


def writable(place: Path | None) -> Path | None:
    """An option's value, if a file can be written there; one that is there already stays as it is.

    Raises BadParameter, which is exit status 2, and names the file.
    """
    if place is None:
        return None
    there = place.exists()
    try:
        with place.open("ab"):
            pass
        if not there:
            place.unlink()
    except OSError as error:
        raise typer.BadParameter(f"{place} cannot be written: {said(error)}") from error
    return place


def apart(save: Path | None, report: Path | None) -> None:
    """Refuse one file for both. Raises BadParameter."""
    if save is not None and report is not None and save.absolute() == report.absolute():
        raise typer.BadParameter(f"--save and --report are the same file, {save}: one would be lost")


def written(place: Path, text: str) -> None:
    """Write it, and say so. Raises Exit(1) with one line where that has become impossible meanwhile."""
    try:
        place.write_text(text, "utf-8")
    except OSError as error:
        print(f"caudal-load: {place} cannot be written: {said(error)}", file=sys.stderr)
        raise typer.Exit(1) from error


def said(error: OSError) -> str:
    """The system's words, without number and path."""
    return (error.strerror or str(error)).lower()
