# SPDX-License-Identifier: ISC
"""Scripted dialogs of other mail servers' tests (vectors/dialogs, where it lies beside the project): the class of each reply
is compared. Two languages: OpenSMTPD's `test.*` and chasquid's `*.cmy`."""
import ast
import os
import re

import pytest

from tests.harness.postern import ROOT, Postern
from tests.harness.smtp import Smtp

DIR = os.path.join(os.environ.get("POSTERN_SHARED") or os.path.join(ROOT, "..", "shared"), "vectors", "dialogs")

# What these dialogs expect and RFC 5321 does not: policy of the server they were written for. Each of them is played, and
# must not end as written there.
OTHER_POLICY = {
    "mailfrom.at-sign": "<@> is no path",
    "mailfrom.src-route": "<whatever:a@a> is no source route: each hop begins with @",
    "rcptto.src-route": "<whatever:a@a> is no source route",
    "bad_data.cmy": "a header line without colon is not refused: such a message begins with its body",
}
LATER = {"auth_multi_dialog.cmy": "TLS and AUTH", "auth_too_many_failures.cmy": "TLS and AUTH"}

pytestmark = pytest.mark.skipif(not os.path.isdir(DIR), reason="vectors/dialogs is not beside the project")


def names(pattern):
    return sorted(f for f in os.listdir(DIR) if re.fullmatch(pattern, f)) if os.path.isdir(DIR) else []


@pytest.fixture(scope="module")
def opensmtpd_like():
    conf = {"limits": {"recipients": 100, "messages": 100}, 'domain "localhost"': {"class": "discard"}}
    with Postern(conf=conf) as server:
        yield server


@pytest.fixture(scope="module")
def chasquid_like():
    conf = {"relay_from": ["192.0.2.1"], "limits": {"message_size": "1M"}, 'domain "testserver"': {"class": "discard"}}
    with Postern(conf=conf) as server:
        yield server


# ---- test.*: procedures and cases of statements ----

TOKEN = re.compile(r'"[^"]*"|[{}]|[^\s{}"]+')


def parse(text):
    """A list of (word, ...) statements; a block is a nested list at the end of its statement."""
    text = re.sub(r"(?m)^\s*#.*$", "", text)
    stack, lines = [[]], text.split("\n")
    for line in lines:
        statement = []
        for token in TOKEN.findall(line):
            if token == "{":
                block = []
                stack[-1].append((*statement, block))
                stack.append(block)
                statement = []
            elif token == "}":
                stack.pop()
            else:
                statement.append(token[1:-1] if token.startswith('"') else token)
        if statement:
            stack[-1].append(tuple(statement))
    assert len(stack) == 1
    return stack[0]


def opensmtpd_cases():
    for name in names(r"test\..*"):
        with open(os.path.join(DIR, name)) as f:
            script = parse(f.read())
        procs = {s[1]: s[2] for s in script if s[0] == "proc"}
        for i, s in enumerate(x for x in script if x[0] == "test-case"):
            title = s[2] if len(s) > 3 else f"{name}-{i}"
            yield pytest.param(procs, s[-1], title, id=title)


def play(c, procs, block):
    for s in block:
        if s[0] == "call":
            play(c, procs, procs[s[1]])
        elif s[0] == "repeat":
            for _ in range(int(s[1])):
                play(c, procs, s[2] if isinstance(s[2], list) else [s[2:]])
        elif s[0] == "writeln":
            c.send(s[1] + "\r\n")
        elif s == ("expect", "disconnect"):
            assert c.is_closed()
        elif s[:2] == ("expect", "smtp"):
            want = {(): "2345", ("ok",): "23", ("helo",): "2", ("permfail",): "5", ("tempfail",): "4"}[s[2:]]
            reply = c.read_reply()
            assert str(reply.code)[0] in want, f"want {s}, got {reply}"
        else:
            raise AssertionError(f"unknown statement {s}")


@pytest.mark.parametrize("procs, block, title", opensmtpd_cases())
def test_opensmtpd(opensmtpd_like, procs, block, title):
    with opensmtpd_like.smtp(greet=False) as c:
        if title in OTHER_POLICY:
            with pytest.raises(AssertionError, match="want"):
                play(c, procs, block)
        else:
            play(c, procs, block)


# ---- *.cmy: a line per action ----

def value(expression):
    """A string or a product or sum of strings and numbers."""
    node = ast.parse(expression, mode="eval").body

    def walk(n):
        if isinstance(n, ast.Constant):
            return n.value
        if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Mult):
            return walk(n.left) * walk(n.right)
        assert isinstance(n, ast.BinOp) and isinstance(n.op, ast.Add)
        return walk(n.left) + walk(n.right)

    return walk(node)


def expect_class(c, want):
    reply = c.read_reply()
    assert str(reply.code)[0] == want.strip()[0], f"want {want!r}, got {reply}"


def cmy_cases():
    for name in names(r".*\.cmy"):
        yield pytest.param(name, id=name, marks=[pytest.mark.skip(reason=LATER[name])] if name in LATER else [])


@pytest.mark.parametrize("name", cmy_cases())
def test_chasquid(chasquid_like, name):
    if name in OTHER_POLICY:
        with pytest.raises(AssertionError, match="want"):
            play_cmy(chasquid_like, name)
    else:
        play_cmy(chasquid_like, name)


def play_cmy(server, name):
    with open(os.path.join(DIR, name), encoding="utf-8") as f:
        lines = [x.rstrip("\n") for x in f]
    c = None
    for line in lines:
        if not line.strip() or line.startswith("#"):
            continue
        m = re.match(r"c (tcp_connect|close|->|~>|<-|<~|<\.\.\.) ?(.*)$", line)
        assert m, f"unknown action {line!r}"
        action, rest = m.groups()
        if action == "tcp_connect":
            if c:
                c.close()
            c = Smtp(server.port, greet=False)
        elif action == "close":
            c.close()
        elif action == "->":
            c.send(rest + "\r\n")
        elif action == "~>":
            c.send(value(rest))
        else:
            expect_class(c, rest)
    c.close()
