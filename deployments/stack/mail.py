"""E-mail: how the settings become the address that Apprise sends through."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from pydantic import SecretStr

_ADDRESS = re.compile(r"[^@\s,;<>\"]+@[^@\s,;<>\"]+")
_PORTS = {"ssl": 465, "starttls": 587, "insecure": 25}


def addresses(text: str) -> list[str]:
    """The e-mail addresses of a list with commas.

    Raises:
        ValueError: There is none, or one is malformed.
    """
    found = [part.strip() for part in text.split(",") if part.strip()]
    if not found or not all(_ADDRESS.fullmatch(each) for each in found):
        raise ValueError("write it as person@example.org, several with commas")
    return found


def sender_url(smtp_url: str, to: str) -> SecretStr:
    """The address by which Apprise sends to `to` through a mail server. Pure.

    `smtps://` speaks TLS from the start (port 465); `smtp://` asks for it (STARTTLS, port 587) and sends nothing
    without, except to a server on this machine, which is spoken to plainly (port 25). `?from=` names the sender, which
    is else the user, or the first receiver where the user is no address.

    Args:
        smtp_url: `smtps://user:password@host`; user, password and port may be left out, and are percent-encoded.
        to: Receivers, with commas.

    Raises:
        ValueError: The address has another scheme, no host, or a malformed port, sender or receiver.
    """
    parts = urlsplit(smtp_url)
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
        raise ValueError("write it as smtps://user:password@mail.example.org")
    mode = "ssl" if parts.scheme == "smtps" else "insecure" if _is_this_machine(parts.hostname) else "starttls"
    receivers = addresses(to)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    sender = parse_qs(parts.query).get("from", [user if _ADDRESS.fullmatch(user) else receivers[0]])[0]
    query = {"mode": mode, "smtp": parts.hostname, "from": addresses(sender)[0], "to": ",".join(receivers)}
    login = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user else ""
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    scheme = "mailto" if mode == "insecure" else "mailtos"
    return SecretStr(f"{scheme}://{login}{host}:{parts.port or _PORTS[mode]}?{urlencode(query)}&format=text")


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
