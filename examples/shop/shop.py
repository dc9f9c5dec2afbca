"""A shop in sixty lines: it asks for a payment, tells its customer where to pay, and hands out bread when it is paid.

    KEY=sk_test_… python3 examples/shop/shop.py [http://127.0.0.1:8700]

Python's own library is enough. A real shop goes on, keeps its secret, and remembers the `webhook-id`s it has seen.
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
import urllib.request
import uuid
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

API = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8700"
ORDERS: dict[str, str] = {}  # payin → order


def ask(path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {os.environ['KEY']}", "Content-Type": "application/json"}
    headers["Idempotency-Key"] = str(uuid.uuid4())
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(API + path, data, headers), timeout=10) as answer:
        return json.load(answer)  # type: ignore[no-any-return]


def endpoint(url: str) -> dict[str, Any]:
    """Our endpoint with its secret: a new one, or the one that we made the last time with another secret."""
    for mine in ask("/v1/webhook_endpoints?limit=100")["data"]:
        if mine["url"] == url:
            ask(f"/v1/webhook_endpoints/{mine['id']}", {"status": "enabled"})
            return ask(f"/v1/webhook_endpoints/{mine['id']}/secret_rotations", {"overlap_s": 0})
    return ask("/v1/webhook_endpoints", {"url": url, "types": ["payin.paid"]})


def is_caudals(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """Whether a message is signed with our secret and of the last five minutes (Standard Webhooks)."""
    id, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not at.isdigit() or abs(time.time() - int(at)) > 300:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = base64.b64encode(hmac.digest(key, f"{id}.{at}.".encode() + body, hashlib.sha256)).decode()
    given = headers.get("webhook-signature", "").split(" ")
    return any(hmac.compare_digest(f"v1,{expected}".encode(), one.encode()) for one in given)


class Hook(BaseHTTPRequestHandler):
    secret = ""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        real = is_caudals(self.secret, {name.lower(): value for name, value in self.headers.items()}, body)
        self.send_response(204 if real else 400)
        self.end_headers()
        payin = json.loads(body)["data"]["id"] if real else None
        if payin in ORDERS:
            print(f"{ORDERS.pop(payin)} is paid: here is your bread", flush=True)

    def log_message(self, *_: object) -> None:
        pass


with HTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8790"))), Hook) as server:
    hook = endpoint(f"http://127.0.0.1:{server.server_port}/")
    Hook.secret = hook["secret"]
    payin = ask("/v1/payins", {"amount": 4500, "currency": "MXN", "country": "MX", "method": "spei"})
    ORDERS[payin["id"]] = "order-7"
    print(f"pay MXN 45.00 to {payin['next_action']['clabe']}", flush=True)
    while ORDERS:
        server.handle_request()
    ask(f"/v1/webhook_endpoints/{hook['id']}", {"status": "disabled"})
