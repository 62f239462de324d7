"""A run that ends with failures is reported to a webhook, a chat and a mailbox by a real server."""

import email
import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from flows.prefect_layer.notify_kinds import NotifyKind
from tests.service.service_tools import Command, ask, wait_for, write_image, write_manifest

pytestmark = pytest.mark.service

TOKEN = "abcdefghijklmnopqrstuvwxyz"


class Received:
    """What a web server and a mail server on loopback have received."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, str, str]] = []
        self.mails: list[str] = []


@pytest.fixture
def receivers() -> Iterator[tuple[Received, int, int]]:
    """What was received, and the ports of the web server and of the mail server."""
    received = Received()

    class Web(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            received.posts.append((self.path, self.headers["Content-Type"], body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    class Mail(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            for line in self.rfile:
                word = line[:4].upper()
                if word == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    lines = iter(self.rfile.readline, b".\r\n")
                    received.mails.append(b"".join(lines).decode())
                self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 yes\r\n")
                if word == b"QUIT":
                    return

    class MailServer(socketserver.ThreadingTCPServer):
        daemon_threads = True

    servers = (ThreadingHTTPServer(("127.0.0.1", 0), Web), MailServer(("127.0.0.1", 0), Mail))
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield received, servers[0].server_address[1], servers[1].server_address[1]
    for server in servers:
        server.shutdown()
        server.server_close()


def text_of(mail: str) -> str:
    """Return the plain text of a mail."""
    parts = email.message_from_string(mail).walk()
    plain = next(part for part in parts if part.get_content_type() in ("text/plain", "text/html"))
    return bytes(plain.get_payload(decode=True)).decode()


def test_a_run_with_failures_is_reported(
    server: str, nst: Command, folder: Path, receivers: tuple[Received, int, int]
) -> None:
    """Webhook, chat and mail each get one message with counts and report; a run without failures sends none."""
    received, web, mail = receivers
    data = folder / "data"
    for number, name in enumerate(("style", "a")):
        write_image(data / f"{name}.png", number)
    write_manifest(data / "some.csv", ["a", "missing"])
    write_manifest(data / "all.csv", ["a"])
    addresses = {
        "webhook": f"http://127.0.0.1:{web}/told?key=secret",
        "mattermost": f"http://127.0.0.1:{web}/hooks/{TOKEN}",
        "mail": f"mailto://127.0.0.1:{mail}?from=nst@example.org&to=team@example.org&smtp=127.0.0.1",
    }
    for kind, address in addresses.items():
        for _ in range(2):  # the second one replaces the first
            made = nst("notify", kind, env={"NST_NOTIFY_ADDRESS": address})
            assert made.returncode == 0, made.stderr

    stub = ("--backbone", "stub", "--device", "cpu")
    fine = nst("run", data / "all.csv", "--output", data / "all", *stub)
    assert fine.returncode == 0, fine.stderr
    outcome = nst("run", data / "some.csv", "--output", data / "some", *stub)
    assert outcome.returncode == 3, outcome.stderr
    wait_for("all three have received a message", lambda: len(received.posts) >= 2 and received.mails, 60)

    hooks = {path: (kind, json.loads(body)) for path, kind, body in received.posts}
    kind, payload = hooks["/told?key=secret"]
    assert kind == "application/json"
    assert (payload["state"], payload["message"]) == ("CompletedWithFailures", "1 succeeded, 1 failed, 0 rejected")
    assert (payload["output"], payload["report"]) == (f"{data}/some", f"{data}/some/report.html")
    assert (payload["run"], payload["manifest"]) == ("stylize some.csv", f"{data}/some.csv")
    chat = hooks[f"/hooks/{TOKEN}"][1]["text"]
    for text in (chat, text_of(received.mails[0])):
        assert "1 succeeded, 1 failed, 0 rejected" in text
        assert "some/report.html" in text
    assert (len(received.posts), len(received.mails)) == (2, 1)

    # The addresses are secrets, and listing the blocks and automations of the server does not show them.
    kept = json.dumps(ask(server, "/block_documents/filter", {})) + json.dumps(ask(server, "/automations/filter", {}))
    assert "nst-notify-webhook" in kept
    assert (TOKEN in kept, "key=secret" in kept) == (False, False)

    for kind in addresses:
        assert nst("notify", kind, "--remove").stdout == f"{kind}: no longer notified\n"
    assert nst("notify", "mail", "--remove").stdout == "mail: it was not notified before\n"
    assert "nst-notify" not in json.dumps(ask(server, "/automations/filter", {}))


@pytest.mark.parametrize("kind", NotifyKind)
def test_an_address_of_the_wrong_form_is_refused(server: str, nst: Command, kind: str) -> None:
    """One line says what such an address looks like, and does not show the given one."""
    outcome = nst("notify", kind, env={"NST_NOTIFY_ADDRESS": "smtp://a-secret-address"})

    assert outcome.returncode == 2, outcome.stderr
    assert f"{kind}: expected an address like" in outcome.stderr
    assert "a-secret" not in outcome.stdout + outcome.stderr
    assert len(outcome.stderr.splitlines()) == 1
