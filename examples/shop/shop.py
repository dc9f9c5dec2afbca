"""A shop in sixty lines: it asks for a payment, tells its customer where to pay, and hands out bread when it is paid.

    KEY=sk_test_… python3 examples/shop/shop.py [http://127.0.0.1:8700]

Python's own library is enough. A real shop goes on, and remembers the `webhook-id`s that it has seen.
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

API = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8700"
ORDERS: dict[str, str] = {}  # payin → order


def ask(path: str, body: dict[str, object]) -> dict[str, object]:
    headers = {"Authorization": f"Bearer {os.environ['KEY']}", "Content-Type": "application/json"}
    headers["Idempotency-Key"] = str(uuid.uuid4())
    asked = urllib.request.Request(API + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(asked, timeout=10) as answer:
        return json.load(answer)  # type: ignore[no-any-return]


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


with HTTPServer(("127.0.0.1", 0), Hook) as server:
    endpoint = ask("/v1/webhook_endpoints", {"url": f"http://127.0.0.1:{server.server_port}/", "types": ["payin.paid"]})
    Hook.secret = str(endpoint["secret"])
    order = {"amount": 4500, "currency": "MXN", "country": "MX", "method": "spei", "reference": "order-7"}
    payin = ask("/v1/payins", order)
    ORDERS[str(payin["id"])] = "order-7"
    print(f"pay MXN 45.00 to {payin['next_action']['clabe']}", flush=True)  # type: ignore[index]
    while ORDERS:
        server.handle_request()
    ask(f"/v1/webhook_endpoints/{endpoint['id']}", {"status": "disabled"})
