"""flows.prefect_layer.client_environment: proxies and certificates with which Prefect's client cannot be created."""

import os
import sys
from pathlib import Path

import certifi
import pytest

from flows.errors import ServiceError
from flows.prefect_layer.client_environment import CERTIFICATES, EXEMPTIONS, PROXIES, check_client_environment
from tests.flows.commands import manifest, nst


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without proxies and certificates."""
    for name in list(os.environ):
        if name.upper() in (*PROXIES, EXEMPTIONS, *CERTIFICATES):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("ALL_PROXY", "socks://127.0.0.1:1080", r"^ALL_PROXY: expected an HTTP proxy, .* \(Unknown scheme for proxy"),
        ("all_proxy", "socks4a://me:secret@127.0.0.1", r"^all_proxy: expected an HTTP proxy, .* \(Unknown scheme for"),
        ("HTTPS_PROXY", "proxy:port", r"^HTTPS_PROXY: expected an HTTP proxy, .* \(Invalid port: 'port'\)"),
        ("NO_PROXY", "[::1]:80", r"^NO_PROXY: expected hosts and domains, .* \(Invalid port"),
        ("SSL_CERT_FILE", "/gone", r"^SSL_CERT_FILE=/gone: expected a file of certificates, .* \(No such file"),
        ("PREFECT_API_SSL_CERT_FILE", "/dev/null", r"^PREFECT_API_SSL_CERT_FILE=/dev/null: expected a file of cert"),
    ],
)
def test_an_unusable_variable_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str) -> None:
    """The error names the variable and what is wrong with it, and shows no password."""
    monkeypatch.setenv(name, value)

    with pytest.raises(ServiceError, match=message) as caught:
        check_client_environment()
    assert str(caught.value).endswith("Correct it, or unset it")
    assert "secret" not in str(caught.value)


def test_a_socks_proxy_without_its_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the package that SOCKS needs; a usable proxy in another variable is not named."""
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv("HTTP_PROXY", "proxy.example.org:3128")
    monkeypatch.setenv("ALL_PROXY", "socks5h://127.0.0.1:1080")

    with pytest.raises(ServiceError, match=r"^ALL_PROXY: expected an HTTP proxy, .*httpx\[socks\]"):
        check_client_environment()


def test_usable_variables_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP proxies, exemptions and certificates pass, and with NO_PROXY=* proxies are not checked."""
    check_client_environment()
    monkeypatch.setenv("http_proxy", "proxy.example.org:3128")
    monkeypatch.setenv("NO_PROXY", "localhost,::1,.example.org")
    monkeypatch.setenv("SSL_CERT_FILE", certifi.where())
    check_client_environment()
    monkeypatch.setenv("ALL_PROXY", "socks://127.0.0.1:1080")
    monkeypatch.setenv("NO_PROXY", "*")
    check_client_environment()


@pytest.mark.parametrize(
    "arguments",
    [("run", "pairs.csv", "--backbone", "stub", "-o", "out"), ("submit", "pairs.csv", "-o", "out"), ("serve",)],
)
def test_commands_refuse_an_unusable_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    """`nst run`, `nst submit` and `nst serve` end with one line and exit code 4, and write nothing."""
    monkeypatch.chdir(tmp_path)
    manifest()
    Path("limits.toml").write_text('read = ["/"]\nwrite = ["/"]\n')
    monkeypatch.setenv("NST_LIMITS", "limits.toml")
    monkeypatch.setenv("ALL_PROXY", "socks://127.0.0.1:1080")
    monkeypatch.setenv("NST_DATA", "restored afterwards")
    before = set(tmp_path.iterdir())
    outcome = nst(*arguments)

    assert outcome.exit_code == 4, outcome.output
    assert outcome.stderr.startswith("nst: ALL_PROXY: expected an HTTP proxy")
    assert outcome.stderr.count("\n") == 1
    assert set(tmp_path.iterdir()) == before
