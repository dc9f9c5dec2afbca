"""What did not come to an end in a running caudal: returns that failed, payins whose provider says nothing.

Many at once, made when the first is asked for: the worker tries them together.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import requests

from caudal.app import examples
from tests.app.objects import WITHIN_S, Objects
from tests.whole import Whole

PROVIDER = "sur"  # whom no other test asks for anything


class WithoutEnd:
    """Hands them out, one a call."""

    def __init__(self, objects: Objects, running: Whole, session: requests.Session, *, many: int) -> None:
        self._objects, self._running, self._session, self._many = objects, running, session, many
        self._failed = list[str]()
        self._unresolved = list[str]()
        self._given = list[tuple[str, str]]()  # payins that may have been settled as paid, with their merchant's key

    def fresh(self) -> dict[str, Callable[[], str]]:
        """As `Objects.fresh`."""
        return {
            "POST /v1/operator/deposits/{id}/confirmations": self.failed_return,
            "GET /v1/operator/unresolved/{id}": self.unresolved,
            "POST /v1/operator/unresolved/{id}/inquiries": self.unresolved,
            "POST /v1/operator/unresolved/{id}/settlements": lambda: self.unresolved(last=True),
        }

    def failed_return(self) -> str:
        """A deposit that was to go back and of which its bank knows nothing: told by somebody with its secret."""
        if not self._failed:
            sent = {self._objects.deposit() for _ in range(self._many)}
            for id in sent:
                self._objects.made(f"/v1/operator/deposits/{id}/returns", {})
            path = "/v1/operator/deposits?limit=100"
            failed = self._seen(sent, path, lambda one: one["reason"] == "return_refused")
            self._failed = sorted(failed)
        return self._failed.pop()

    def unresolved(self, *, last: bool = False) -> str:
        """A payin whose time was over when its provider was down: nobody knows whether it was paid. `last`: it is
        going to have an outcome."""
        if not self._unresolved:
            payins = self._left_by_their_provider()
            path = f"/v1/operator/unresolved?older_than_s=0&limit=100&provider={PROVIDER}"
            self._unresolved = sorted(self._seen(payins, path, lambda one: True))
        return self._unresolved.pop() if last else self._unresolved[0]

    def heal(self) -> None:
        """The provider answers again, and has what was settled as paid; what is left is expired by the worker."""
        self._fares()
        for id, secret in self._given:
            headers = {"Authorization": f"Bearer {secret}"}
            url = f"{self._running.api_url}/v1/payins/{id}"
            if self._session.get(url, headers=headers, auth=lambda asked: asked).json()["status"] == "paid":
                pay = f"{self._running.sandbox_url}/v1/provider/payers/{id.removeprefix('payin_')}/pay"
                assert self._session.post(pay, json={}, auth=lambda asked: asked).status_code == 200

    def _left_by_their_provider(self) -> set[str]:
        free = {"family": "instant_transfer", "currency": "BRL", "fixed_minor": 0, "basis_points": 0}
        shop = self._objects.made("/v1/operator/merchants", {"name": "Dora", "country": "BR", "fee_plan": [free]})["id"]
        well = {"mode": "test", "reason": "it is well"}
        self._objects.made(f"/v1/operator/providers/{PROVIDER}/drains", {**well, "drained": False})
        self._objects.made(f"/v1/operator/providers/{PROVIDER}/forcings", {**well, "breaker": "automatic"})
        rule = {"name": "all", "when": {}, "choose": {"by": "split", "shares": {PROVIDER: 100}}}
        secret = self._key(shop)
        profile = self._made(secret, "/v1/routing/profiles", {"name": "one", "max_attempts": 1, "rules": [rule]})
        self._made(secret, f"/v1/routing/profiles/{profile['id']}/activations", None)
        secret = self._key(shop)  # one that nobody knows yet without the profile
        body = examples.SEVERAL_BODIES["create_payin"]["pix"]
        asked = [{"idempotency_key": f"left-{number}", "payin": body} for number in range(self._many)]
        payins = [one["payin"] for one in self._made(secret, "/v1/payins/bulk", {"payins": asked})["data"]]
        self._fares(down=True)
        left = datetime.fromisoformat(payins[0]["expires_at"]) - datetime.now(UTC)
        self._made(secret, "/v1/sandbox/clock/advances", {"seconds": int(left.total_seconds()) - 1})
        self._given += [(payin["id"], secret) for payin in payins]
        return {payin["id"] for payin in payins}

    def _key(self, merchant: str) -> str:
        made = self._objects.made(f"/v1/operator/merchants/{merchant}/keys", {"mode": "test", "name": "till"})
        return str(made["secret"])

    def _seen(self, ids: set[str], path: str, wanted: Callable[[Any], bool]) -> set[str]:
        """These, once a list has them all."""
        end = time.monotonic() + WITHIN_S
        while True:
            found, place = set[str](), ""
            while True:
                page = self._objects.got(path + place)
                found |= {one["id"] for one in page["data"] if one["id"] in ids and wanted(one)}
                if not page["has_more"]:
                    break
                place = f"&after={page['next']}"
            if found == ids:
                return found
            assert time.monotonic() < end, f"{path} has {len(found)} of {len(ids)}"
            time.sleep(0.1)

    def _made(self, secret: str, path: str, body: Any) -> Any:
        headers = {"Authorization": f"Bearer {secret}", "Idempotency-Key": uuid4().hex}
        answer = self._session.post(self._running.api_url + path, json=body, headers=headers, auth=lambda asked: asked)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def _fares(self, **conditions: Any) -> None:
        url = f"{self._running.sandbox_url}/providers/{PROVIDER}/v1/provider/conditions"
        assert self._session.post(url, json=conditions, auth=lambda asked: asked).status_code == 200
