"""The providers that `caudal up` has in its sandbox."""

from __future__ import annotations

from pathlib import Path

import msgspec

from caudal.app import playground
from caudal.app.up import own_services
from caudal.connectors import CONNECTORS, Links
from caudal.kernel.settings import Settings


def test_the_sandbox_has_three_providers_and_their_file_is_read_as_any(tmp_path: Path) -> None:
    settings = Settings(var=str(tmp_path), sandbox_url="http://127.0.0.1:9701", provider_secret_test="one")
    secrets = {"sandbox": "one", "norte": "two", "sur": "three"}
    path = playground.write(settings, secrets)
    assert path.stat().st_mode & 0o777 == 0o600
    named = msgspec.structs.replace(settings, providers=str(path))
    links = {link.provider.name: link.provider for link in Links(named)}
    assert list(links) == ["sandbox", "norte", "sur"] and links["norte"].url == "http://127.0.0.1:9701/providers/norte"
    assert links["norte"].takes("pix", "BR") and not links["norte"].takes("mpesa", "KE")
    cost = links["sur"].cost("card", "BRL")
    assert cost is not None and cost.of(10_000) == 349
    sandbox, *_ = own_services(named)
    assert sandbox.environment["CAUDAL_SANDBOX_PROVIDER_SECRET"] == "one"
    assert sandbox.environment["CAUDAL_SANDBOX_PROVIDERS"] == "norte=two,sur=three"


def test_every_method_of_the_sandbox_has_a_price_at_two_providers_at_least() -> None:
    for method in CONNECTORS:
        assert sum(any(row[0] == method for row in rows) for rows in playground.COSTS.values()) >= 2
