"""Objects of every kind in a running caudal, made by real calls: to its API, to its sandbox, and as its providers.

They are of a merchant of their own: nobody else moves its clock, routes its payins or fills its lists.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import msgspec
import requests

from caudal.app import examples
from caudal.app.state import read_secrets
from caudal.connectors import spei
from caudal.connectors.sandbox_protocol import inbound
from caudal.merchants.commands.changes import FIRST_FEE_PLAN
from tests.whole import Whole

_NUMBERS = itertools.count(1)
NOBODYS_CLABE = "646180110400000007"  # a number that no test run comes to
WITHIN_S = 120.0  # a working caudal needs a second or two


class Signed(requests.auth.AuthBase):
    """The signature of the bank, or of a method's provider, over whatever is sent."""

    def __init__(self, running: Whole) -> None:
        secrets = read_secrets(running.var, may_make=False)
        self._bank, self._provider = secrets.spei_secret_test, secrets.provider_secret_test

    def __call__(self, asked: requests.PreparedRequest) -> requests.PreparedRequest:
        body = asked.body.encode() if isinstance(asked.body, str) else asked.body or b""
        assert isinstance(body, bytes) and asked.method is not None
        now = int(time.time())
        if asked.path_url.partition("?")[0].endswith("/spei"):
            asked.headers["Spei-Signature"] = spei.signature(self._bank, now, body)
        else:
            asked.headers[inbound.HEADER] = inbound.signature(self._provider, now, asked.method, asked.path_url, body)
        return asked


class Objects:
    """Makes an object of a kind and gives its id."""

    def __init__(self, running: Whole, session: requests.Session) -> None:
        self._running, self._session, self._signed = running, session, Signed(running)
        self._run = uuid4().hex[:12]
        plan = msgspec.to_builtins(FIRST_FEE_PLAN)
        merchant = self.made("/v1/operator/merchants", {"name": "Ana", "country": "MX", "fee_plan": plan})["id"]
        made = self.made(f"/v1/operator/merchants/{merchant}/keys", {"mode": "test", "name": "shop"})
        self.key_of_ana = str(made["secret"])

    def once(self) -> dict[str, str]:
        """An object of each kind, by the folder in which its path stands."""
        merchant = self.made("/v1/operator/merchants", {"name": "Caro", "country": "MX", "fee_plan": []})["id"]
        endpoint = self.endpoint()
        return {
            "payins": self.pending(),
            "traces": self.refund(),
            "captures": self.capture(),
            "refunds": self.refund(),
            "disputes": self.dispute(),
            "discrepancies": self.discrepancy(),
            "instruments": self.instrument(),
            "merchants": merchant,
            "keys": self.made(f"/v1/operator/merchants/{merchant}/keys", {"mode": "test", "name": "shop"})["id"],
            "webhook_endpoints": endpoint,
            "webhook_deliveries": self.made(f"/v1/webhook_endpoints/{endpoint}/tests")["id"],
            "profiles": self.profile(),
            "events": self.got("/v1/events")["data"][0]["id"],
        }

    def fresh(self) -> dict[str, Callable[[], str]]:
        """What makes an object for an operation that takes it once, or only in a state that it leaves with it."""
        changed = self.endpoint()  # the last change may leave it disabled
        return {
            "POST /v1/payins/{id}/captures": self.authorized,
            "POST /v1/payins/{id}/cancellations": self.pending,
            "POST /v1/payins/{id}/refunds": self.paid,
            "POST /v1/sandbox/payins/{id}/pay": self.pending,
            "POST /v1/sandbox/payins/{id}/decline": lambda: self.payin("pse"),
            "POST /v1/sandbox/payins/{id}/expire": self.pending,
            "POST /v1/sandbox/payins/{id}/dispute": self.paid,
            "POST /v1/disputes/{id}/evidence": self.dispute,
            "POST /v1/instruments/{id}/deletions": self.instrument,
            "POST /v1/routing/profiles/{id}/activations": self.profile,
            "POST /v1/routing/profiles/{id}/deactivations": self.active_profile,
            "POST /v1/webhook_endpoints/{id}": lambda: changed,
            "POST /v1/webhook_endpoints/{id}/deletions": self.endpoint,
            "POST /v1/operator/deposits/{id}/returns": self.deposit,
            "POST /v1/operator/discrepancies/{id}/resolutions": self.discrepancy,
            "POST /v1/operator/discrepancies/{id}/corrections": self.correctable,
            "POST /v1/operator/keys/{id}/rotations": self.key,
        }

    def endpoint(self) -> str:
        return str(self.made("/v1/webhook_endpoints", {"url": "https://shop.example.com/"})["id"])

    def profile(self) -> str:
        return str(self.made("/v1/routing/profiles", examples.BODIES["ProfileAsked"])["id"])

    def active_profile(self) -> str:
        id = self.profile()
        self.made(f"/v1/routing/profiles/{id}/activations")
        return id

    def payin(self, method: str, **changed: Any) -> str:
        """A payin as the document's example of the method asks for it, unless changed."""
        body = {**examples.SEVERAL_BODIES["create_payin"][method], **changed}
        if method == "card":
            body["instrument"] = {"id": self.instrument()}
        return str(self.made("/v1/payins", body)["id"])

    def pending(self) -> str:
        return self.payin("pix")

    def authorized(self) -> str:
        """A card payin with BRL 20,000.00 to capture."""
        return self.payin("card", amount=2_000_000, capture="manual")

    def paid(self) -> str:
        """A card payin with BRL 20,000.00 to refund."""
        return self.payin("card", amount=2_000_000, capture="automatic")

    def capture(self) -> str:
        return str(self.made(f"/v1/payins/{self.authorized()}/captures", {"amount": 5_000})["id"])

    def refund(self) -> str:
        return str(self.made(f"/v1/payins/{self.paid()}/refunds", {"amount": 5_000})["id"])

    def instrument(self) -> str:
        return str(self.made("/v1/instruments", examples.CREATE_INSTRUMENT)["id"])

    def key(self) -> str:
        merchant = self.made("/v1/operator/merchants", {"name": "Beto", "country": "MX", "fee_plan": []})["id"]
        return str(self.made(f"/v1/operator/merchants/{merchant}/keys", {"mode": "test", "name": "till"})["id"])

    def deposit(self) -> str:
        """A deposit that belongs to no payin."""
        report = {**examples.CALLBACK, "clabe": NOBODYS_CLABE, "tracking_key": f"S{self._run}{next(_NUMBERS)}"}
        return str(self.told("spei", report)["deposit"])

    def discrepancy(self) -> str:
        """A provider tells of a payment that nobody asked for."""
        told, key = examples.SEVERAL_BODIES["create_callback_pix"]["payment"], uuid4().hex
        self.told("sandbox/pix", {**told, "payment": {**told["payment"], "key": key}})
        return self._discrepancy_about(key)

    def correctable(self) -> str:
        """A provider tells another amount of a payin that waits for its payer."""
        told = examples.SEVERAL_BODIES["create_callback_pix"]["payment"]
        said = {**told["payment"], "key": self.pending().removeprefix("payin_"), "amount": 1}
        self.told("sandbox/pix", {**told, "payment": said})
        return self._discrepancy_about(said["key"])

    def _discrepancy_about(self, key: str) -> str:
        """Others may have been opened since."""
        found = self.got("/v1/operator/discrepancies?limit=100")["data"]
        return next(str(one["id"]) for one in found if one["detail"].get("key") == key)

    def dispute(self) -> str:
        """The payer of a card payin disputes it; the dispute is there once the sandbox has called back."""
        payin = self.paid()
        self.made(f"/v1/sandbox/payins/{payin}/dispute")
        end = time.monotonic() + WITHIN_S
        while (shown := self.got(f"/v1/payins/{payin}")["dispute"]) is None:
            assert time.monotonic() < end, f"the dispute of {payin} does not come"
            time.sleep(0.05)
        return str(shown)

    def made(self, path: str, body: Any = None) -> Any:
        """The answer to a request that makes something."""
        headers = {**self._headers(path), "Idempotency-Key": f"{self._run}-{next(_NUMBERS)}"}
        return _accepted(self._session.post(self._running.api_url + path, json=body, headers=headers, auth=_nobody))

    def got(self, path: str) -> Any:
        """The answer to a question."""
        return _accepted(self._session.get(self._running.api_url + path, headers=self._headers(path), auth=_nobody))

    def told(self, who: str, body: Any) -> Any:
        """The answer to what a provider, or the bank, tells."""
        url = f"{self._running.api_url}/v1/callbacks/{who}"
        return _accepted(self._session.post(url, json=body, auth=self._signed))

    def _headers(self, path: str) -> dict[str, str]:
        key = self._running.operator_key if "/operator/" in path else self.key_of_ana
        return {"Authorization": f"Bearer {key}"}


def _nobody(asked: requests.PreparedRequest) -> requests.PreparedRequest:
    return asked


def _accepted(answer: requests.Response) -> Any:
    assert answer.status_code < 300, f"{answer.request.url}: {answer.text}"
    return answer.json()
