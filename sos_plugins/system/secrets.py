"""Passwords and the like, and folders of people: kept out of whatever a run shows or writes.

What looks like a secret is known by the name of its key, or by its place in an address
(``user:password@host``). A variable of the environment, ``${NAME}``, is none.
"""

from __future__ import annotations

import functools
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus, unquote_plus

HIDDEN = "***"
VARIABLE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
SHORT = 4
"""A secret of fewer signs is masked where its key shows it, not wherever its letters stand."""
_PARTS = ("password", "passwd", "passphrase", "pwd", "token", "secret", "credential")
_ENDS = ("privatekey", "apikey", "accesskey", "accountkey", "authkey")
_WHOLE = ("pass", "pw", "auth", "sas", "sig", "signature")
_KEY = r"[A-Za-z][\w.-]*"
_PAIR = re.compile(
    rf"({_KEY})([ \t]*=[ \t]*)(\{{[^}}]*\}}|\"[^\"]*\"|'[^']*'|\$\{{\w+\}}|[^\s;&,\"'<>)]+)"
)
"""A name and its value, as in ``PWD=...;``, ``?token=...&`` and ``password='...'``."""
_LOGIN = re.compile(r"(?<=:/)(/?[^\s/:@\"'<>]*):(?!\d{1,5}[/?#])(\$\{\w+\}|[^\s\"'<>]+)@(?=[^\s@])")
"""A user and a password before a host; a number after a colon is a port. Of an address taken for a
path one of the two strokes is left."""
_HOME = re.compile(
    r"(?<![\w.~/-])(/(?:home|Users)/[^/\s\"':;,)]+|[A-Za-z]:\\Users\\[^\\\s\"';,)]+)"
)
"""The home of a person, at the start of a path."""


@functools.lru_cache(maxsize=4096)
def is_secret_key(key: str) -> bool:
    """Say whether a key looks like that of a secret.

    >>> [is_secret_key(k) for k in ("sslpassword", "PWD", "access_token", "private-key", "path")]
    [True, True, True, True, False]
    """
    bare = re.sub(r"[^a-z0-9]", "", key.lower())
    return (
        bare in _WHOLE or bare.endswith(_ENDS) or any(part in bare for part in _PARTS)
    ) and not bare.endswith(("file", "path", "env"))


def secrets_in(text: str) -> list[str]:
    """Return what looks like secrets in a text, as they stand there.

    >>> secrets_in("mssql://anna:pw1@host/x?odbc_connect=DRIVER%3Dx%3BPWD%3Dpw2")
    ['pw1', 'pw2']
    >>> secrets_in("postgres://reader:${DB_PASSWORD}@host/x?sslmode=require")
    []
    """
    secrets = []
    forms = [text]
    while len(forms) < 3 and (plain := unquote_plus(forms[-1])) != forms[-1]:
        forms.append(plain)
    for form in forms:
        secrets += [m[2] for m in _LOGIN.finditer(form)]
        secrets += [_bare(m[3]) for m in _PAIR.finditer(form) if is_secret_key(m[1])]
        # A value may hold pairs of its own, as odbc_connect=DRIVER=...;PWD=... does.
        secrets += [
            _bare(inner[3])
            for m in _PAIR.finditer(form)
            for inner in _PAIR.finditer(m[3])
            if is_secret_key(inner[1])
        ]
    kept = (one for one in secrets if one not in ("", HIDDEN) and not _is_variable(one))
    return list(dict.fromkeys(kept))


def masked(text: str) -> str:
    """Return a text in which secrets are :data:`HIDDEN`.

    >>> masked("no route to mssql://anna:pw1@host/x?sslpassword=pw2&a=b")
    'no route to mssql://anna:***@host/x?sslpassword=***&a=b'
    """
    if "=" not in text and ":/" not in text:
        return text
    text = _LOGIN.sub(_without_password, text)
    text = _PAIR.sub(_without_value, text)
    for secret in sorted(secrets_in(text), key=len, reverse=True):  # written as %3D and the like
        text = text.replace(secret, HIDDEN)
        text = text.replace(quote_plus(secret), HIDDEN)
    return text if not secrets_in(text) else HIDDEN


def _without_password(login: re.Match[str]) -> str:
    return login[0] if _is_variable(login[2]) else f"{login[1]}:{HIDDEN}@"


def _without_value(pair: re.Match[str]) -> str:
    key, between, value = pair.groups()
    if not is_secret_key(key):
        return f"{key}{between}{_PAIR.sub(_without_value, value)}"
    if _is_variable(_bare(value)):
        return pair[0]
    mark = value[0] if value[0] in "\"'" else ""
    return f"{key}{between}{mark}{HIDDEN}{mark}"


def without_home(text: str) -> str:
    """Return a text in which the homes of people are ``~``.

    >>> without_home("/home/anna/study/cases.csv, line 3")
    '~/study/cases.csv, line 3'
    """
    if "/" not in text and "\\" not in text:
        return text
    own = str(Path.home())
    if len(own) > 1:
        text = re.sub(rf"(?<![\w.~/-]){re.escape(own)}(?=[/\\\s\"':;,)]|$)", "~", text)
    return _HOME.sub("~", text)


_NO_TEXT = frozenset((int, float, bool, type(None)))


def cleaned(value: Any, key: str = "") -> Any:
    """Return a value that results may show: texts masked and without homes, whatever holds them.

    Args:
        value: Texts, numbers, mappings and lists of such.
        key: The name under which it stands.
    """
    if type(value) in _NO_TEXT:
        return value
    if isinstance(value, Mapping):
        held = key if key and is_secret_key(key) else ""
        return {name: cleaned(one, held or str(name)) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(cleaned(one, key) for one in value)
    if isinstance(value, str):
        if key and is_secret_key(key) and value and not _is_variable(value):
            return HIDDEN
        return without_home(masked(value))
    return value


def cleaned_toml(text: str) -> str:
    """Return the text of a TOML file without secrets and homes; layout and comments stay.

    A text that cannot be cleaned for certain is left out as a whole, and says so.
    """
    try:
        secrets = sorted(set(_secrets_of(tomllib.loads(text))), key=len, reverse=True)
    except tomllib.TOMLDecodeError:
        return without_home("\n".join(masked(line) for line in text.split("\n")))
    for secret in secrets:
        plain, escaped = json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]
        for form in {secret, plain, escaped} if len(secret) >= SHORT else ():
            text = text.replace(form, HIDDEN)
    text = "\n".join(masked(line) for line in text.split("\n"))
    try:
        rest = list(_secrets_of(tomllib.loads(text)))
    except tomllib.TOMLDecodeError:
        rest = ["?"]
    if rest:
        return "# Left out: the study holds what looks like a password. Name a variable instead.\n"
    return without_home(text)


def _secrets_of(value: Any, key: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield from _secrets_of(one, key if key and is_secret_key(key) else str(name))
    elif isinstance(value, list):
        for one in value:
            yield from _secrets_of(one, key)
    elif isinstance(value, str):
        if key and is_secret_key(key) and value not in ("", HIDDEN) and not _is_variable(value):
            yield value
        yield from secrets_in(value)


def _bare(value: str) -> str:
    """Return a value without the quotation marks or braces around it."""
    inner = value.strip("\"'")
    return inner if _is_variable(inner) else inner.strip("{}")


def _is_variable(text: str) -> bool:
    return VARIABLE.fullmatch(text) is not None
