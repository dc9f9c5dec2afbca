"""Takes JSON apart field by field, so that a refusal names everything that is wrong at once. Pure."""

import difflib
import json
import re
from collections.abc import Mapping
from typing import Any

from caudal_sandbox.problems import FieldError, Problem

MISSING: Any = object()


class Fields:
    """Takes fields out of an object one by one and collects what is wrong with them."""

    def __init__(self, given: Mapping[str, Any], known: tuple[str, ...], pointer: str = "/") -> None:
        self.errors: list[FieldError] = []
        self._given = given
        self._pointer = pointer
        for name in given:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f" Did you mean {near[0]}?" if near else f" Known are: {', '.join(known)}."
                self.wrong(name, "unknown_field", f"This field is not known.{hint}")

    def wrong(self, name: str, code: str, detail: str) -> None:
        """Note that a field is wrong."""
        escaped = name.replace("~", "~0").replace("/", "~1")
        self.errors.append(FieldError(field=self._pointer + escaped, code=code, detail=detail))

    def take(self, name: str, kind: type | tuple[type, ...], what: str, default: Any = MISSING) -> Any:
        """Return a field of the right type; its default if absent; None if it is wrong, which is then noted."""
        value = self._given.get(name, default)
        if value is MISSING:
            self.wrong(name, "required", f"This field is required: {what}.")
            return None
        # In Python True is an int; in JSON it is not.
        if name in self._given and (not isinstance(value, kind) or isinstance(value, bool)):
            self.wrong(name, "wrong_type", f"This must be {what}.")
            return None
        return value

    def text(self, name: str, form: re.Pattern[str], what: str, default: Any = MISSING) -> str:
        """Return a string of a form; "" if it is absent or wrong."""
        value = self.take(name, str, what, default)
        if value and form.fullmatch(value):
            return str(value)
        if value is not None and (name in self._given):
            self.wrong(name, "malformed", f"This must be {what}.")
        return ""

    def whole(self, name: str, low: int, high: int, what: str, default: Any = MISSING) -> int:
        """Return an integer within limits; 0 if it is wrong."""
        value = self.take(name, int, what, default)
        if value is None:
            return 0
        if not low <= value <= high:
            self.wrong(name, "out_of_range", f"This must be {what}.")
        return int(value)


def json_object(body: bytes) -> dict[str, Any]:
    """Parse a JSON object; refuses names given twice, NaN and everything else that RFC 8259 does not know."""
    try:
        parsed = DECODER.decode(body.decode())
    except (ValueError, RecursionError) as error:
        raise Problem(400, "malformed_json", f"The body is not JSON: {error}.") from None
    if not isinstance(parsed, dict):
        raise Problem(400, "malformed_json", "The body must be a JSON object.")
    return parsed


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands in an object twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_constant)
