"""What the OpenAPI document forbids is refused, callbacks included; called without sockets, with valid keys.

No provider is there, so what needs one is answered with 503 `provider_unavailable`, as documented. That answers are
what the document says is tests/app/test_schemathesis.py.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import msgspec
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi import checks

from caudal.app import examples
from caudal.app.openapi import document
from caudal.connectors import spei
from caudal.connectors.sandbox_protocol import inbound
from caudal.kernel.context import Context
from caudal.merchants import CLI, create_key, first_merchant, first_operator
from tests.api import Answered, Api
from tests.conftest import settings_of
from tests.payins.books import wrong_in

SCHEMA = schemathesis.openapi.from_dict(msgspec.json.decode(document()))
# A body that is too large is refused before anybody reads what else is wrong with it.
REFUSED = SCHEMA.config.checks.negative_data_rejection
REFUSED.expected_statuses = [*REFUSED.expected_statuses, "413"]
CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
CALLS = 8
PROVIDER_SECRET = "provider's secret"


class Caller:
    """Somebody with every key, and objects to name in paths."""

    def __init__(self, context: Context) -> None:
        self.api, self.seen = Api(context), Counter[str]()
        self.keys, self.ids = dict[str, str](), dict[str, str]()

    async def begin(self) -> None:
        merchant, self.api.key = await first_merchant(self.api.context, "Ana", "MX")
        self.keys = {"merchant": self.api.key, "operator": await first_operator(self.api.context)}
        payin = (await self.api.create()).json
        deposit = await self.api.deposit(payin["next_action"]["clabe"], 10_950)
        await create_key(self.api.context, CLI, merchant, mode="test", name="spare")
        path = f"/v1/operator/merchants/mer_{merchant.hex}/keys"
        keys = (await self.api.get(path, key=self.keys["operator"])).json["data"]
        endpoint = (await self.api.post("/v1/webhook_endpoints", {"url": "https://shop.example.com/"})).json
        self.ids = {
            "/v1/payins/": payin["id"],
            "/v1/webhook_endpoints/": endpoint["id"],
            "/v1/operator/discrepancies/": await self.discrepancy(),
            "/v1/operator/deposits/": deposit.json["deposit"],
            "/v1/operator/merchants/": f"mer_{merchant.hex}",
            "/v1/operator/keys/": keys[0]["id"],
        }

    async def discrepancy(self) -> str:
        """What a provider says of a payment that nobody asked for."""
        body = msgspec.json.encode(examples.BODIES["ProviderCallback"])
        headers = signed("POST", "/v1/callbacks/sandbox/pix", body)
        assert (await self.api.call("POST", "/v1/callbacks/sandbox/pix", body, headers=headers)).status == 200
        listed = await self.api.get("/v1/operator/discrepancies", key=self.keys["operator"])
        return str(listed.json["data"][0]["id"])

    async def call(self, case: Any) -> tuple[requests.PreparedRequest, Answered]:
        """Names something that exists, with right credentials; the rest is the case's."""
        for prefix, id in self.ids.items():
            if case.operation.path.startswith(prefix):
                case.path_parameters = {"id": id}
        if "{provider}" in case.operation.path:
            case.path_parameters = {"provider": "sandbox"}
        kwargs = case.as_transport_kwargs(base_url="http://caudal")
        names = ("method", "url", "headers", "params", "data", "json", "cookies")
        asked = requests.Request(**{name: kwargs[name] for name in names if name in kwargs}).prepare()
        headers = {name.lower(): value for name, value in asked.headers.items() if isinstance(value, str)}
        headers.pop("request-timeout-ms", None)  # the server's own: no machine is too slow for it
        body = asked.body.encode() if isinstance(asked.body, str) else asked.body or b""
        assert isinstance(body, bytes) and asked.url is not None and asked.method is not None
        if case.operation.path.startswith("/v1/callbacks"):
            headers |= signed(asked.method, asked.url.removeprefix("http://caudal"), body)
        else:
            who = "operator" if "/operator/" in case.operation.path else "merchant"
            headers["authorization"] = f"Bearer {self.keys[who]}"
        path, _, query = asked.url.removeprefix("http://caudal").partition("?")
        path = unquote(path).replace("?", "") + ("?" + query if query else "")
        return asked, await self.api.call(asked.method, path, body or None, headers=headers)


def signed(method: str, path: str, body: bytes) -> dict[str, str]:
    """The headers of the bank, or of a method's provider."""
    now = int(time.time())
    if path.partition("?")[0].endswith("/spei"):
        return {"spei-signature": spei.signature("test secret", now, body), "authorization": "-"}
    return {inbound.HEADER: inbound.signature(PROVIDER_SECRET, now, method, path, body), "authorization": "-"}


def judge(case: Any, asked: requests.PreparedRequest, answered: Answered) -> None:
    response = schemathesis.Response(
        status_code=answered.status,
        headers={name: [value] for name, value in answered.headers.items()},
        content=answered.body,
        request=asked,
        elapsed=0.0,
        verify=False,
    )
    # Wrong ids and signatures have been made right; wrong bodies have not.
    parts = case.meta.components.items()
    wrong = any(place.value == "body" and part.mode.is_negative for place, part in parts)
    if wrong and case.operation.path == "/v1/payins/bulk" and answered.status == 200:
        wrong = False  # it is one payin that is wrong, and is refused alone
        assert any(item["problem"] is not None for item in answered.json["data"])
    asked_provider = answered.status == 503 and answered.code == "provider_unavailable"
    promised = CHECKS[1:] if asked_provider else CHECKS
    case.validate_response(response, checks=[*promised, *([checks.negative_data_rejection] if wrong else [])])


def test_what_the_document_forbids_is_refused(database_url: str, say: Callable[[str], None]) -> None:
    with asyncio.Runner() as runner:
        context = Context(settings_of(database_url, provider_secret_test=PROVIDER_SECRET), name="test")
        runner.run(context.__aenter__())
        caller = Caller(context)
        try:
            runner.run(caller.begin())
            for found in SCHEMA.get_all_operations():
                operation: Any = found.ok()  # type: ignore[union-attr]
                if operation.body:
                    for mode in (schemathesis.GenerationMode.NEGATIVE, schemathesis.GenerationMode.POSITIVE):
                        ask_all(runner, caller, operation, mode)
        finally:  # or its connections end in another test, which fails for it
            runner.run(context.__aexit__())
        say(f"{caller.seen.total()} calls: {dict(caller.seen)}")
        assert runner.run(wrong_in(database_url)) == []


def ask_all(runner: asyncio.Runner, caller: Caller, operation: Any, mode: Any) -> None:
    @settings(
        max_examples=CALLS,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        asked, answered = runner.run(caller.call(case))
        caller.seen[f"{mode.value} {answered.status // 100}xx"] += 1
        judge(case, asked, answered)

    ask()
