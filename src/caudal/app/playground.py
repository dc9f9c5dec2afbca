"""The providers that `caudal up` has in its sandbox: three that cost differently, so that there is something to choose.

Their file stands in CAUDAL_VAR, made again by every start; with CAUDAL_PROVIDERS set it is left alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from caudal.connectors import FIRST, Links
from caudal.kernel.postgres import private_file
from caudal.kernel.settings import Settings

FILE: Final = "providers.toml"
OTHERS: Final = ("norte", "sur")
# Method, currency, fixed part in minor units, basis points; made up, of the size of public price lists.
COSTS: Final[dict[str, tuple[tuple[str, str, int, int], ...]]] = {
    FIRST: (
        ("boleto", "BRL", 349, 0),
        ("card", "BRL", 39, 299),
        ("card", "COP", 90_000, 265),
        ("card", "KES", 500, 290),
        ("card", "MXN", 300, 290),
        ("mpesa", "KES", 0, 150),
        ("pix", "BRL", 0, 119),
        ("pse", "COP", 250_000, 0),
    ),
    "norte": (
        ("boleto", "BRL", 290, 0),
        ("card", "BRL", 90, 240),
        ("card", "MXN", 400, 250),
        ("pix", "BRL", 40, 0),
    ),
    "sur": (
        ("card", "BRL", 0, 349),
        ("card", "COP", 60_000, 289),
        ("card", "KES", 0, 310),
        ("card", "MXN", 0, 340),
        ("mpesa", "KES", 300, 90),
        ("pix", "BRL", 20, 60),
        ("pse", "COP", 120_000, 80),
    ),
}


def place_of(settings: Settings, name: str) -> str:
    """Where the sandbox has a provider."""
    return f"{settings.sandbox_url}" if name == FIRST else f"{settings.sandbox_url}/providers/{name}"


def write(settings: Settings, secrets: dict[str, str]) -> Path:
    """Writes the file; readable by its owner alone, since the secrets stand in it."""
    entries = [_entry(name, place_of(settings, name), secret) for name, secret in secrets.items()]
    path = Path(settings.var) / FILE
    private_file(path, "# Made by `caudal up`, at every start.\n" + "".join(entries))
    return path


def _entry(name: str, url: str, secret: str) -> str:
    methods = sorted({method for method, *_ in COSTS[name]})
    costs = "".join(
        f'    {{ method = "{method}", currency = "{currency}", fixed_minor = {fixed}, basis_points = {points} }},\n'
        for method, currency, fixed, points in COSTS[name]
    )
    lines = (
        "\n[[provider]]",
        f"name = {json.dumps(name)}",
        f"url = {json.dumps(url)}",
        f"secret = {json.dumps(secret)}",
        f"methods = {json.dumps(methods)}",
        f"cost = [\n{costs}]\n",
    )
    return "\n".join(lines)


def secrets_of(settings: Settings) -> dict[str, str]:
    """Names and secrets of the providers that the configuration has in the sandbox."""
    return {
        link.provider.name: link.provider.secret
        for link in Links(settings)
        if link.provider.mode == "test" and link.provider.url == place_of(settings, link.provider.name)
    }
