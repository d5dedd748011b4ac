# SPDX-License-Identifier: ISC
"""Only CRLF ends a line and only CRLF.CRLF a message: a message hidden inside another never becomes one of its own.

The sequences are those of vectors/smuggling.jsonl, where it lies beside the project; the ten of it, and more, stand here too.
"""
import json
import os

import pytest

from tests.harness.postern import ROOT, Postern
from tests.harness.smtp import QID

WRONG_ENDS = [b"\n.\n", b"\n.\r", b"\n.\r\n", b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\r\n.\n", b"\r\n.\r", b"\r.\n", b"\r.\r", b"\r.\r\n",
              b"\r\r\n.\r\r\n", b"\n\n.\n\n", b"\r\n.\r\r\n", b"\r\n.\n\r\n", b"\r\n. \r\n", b"\r\n.\t\r\n", b"\x0b.\x0b", b"\x85.\x85"]
HIDDEN = b"MAIL FROM:<evil@client.example>\r\nRCPT TO:<b@local.example>\r\nDATA\r\nSubject: evil\r\n\r\nevil\r\n"


def shared(name):
    path = os.path.join(os.environ.get("POSTERN_SHARED") or os.path.join(ROOT, "..", "shared"), name)
    return path if os.path.exists(path) else None


def sequences():
    found = list(WRONG_ENDS)
    path = shared("vectors/smuggling.jsonl")
    if path:
        with open(path) as f:
            found += [bytes.fromhex(json.loads(line)["hex"]) for line in f]
    return sorted(set(found))


def is_bare(seq):
    text = b"x" + seq + b"MAIL"
    return b"\r" in text.replace(b"\r\n", b"") or b"\n" in text.replace(b"\r\n", b"")


@pytest.fixture(scope="module")
def strict():
    """Nobody is trusted: bare newlines are refused."""
    with Postern(conf={"relay_from": ["192.0.2.1"]}) as server:
        yield server


@pytest.fixture(scope="module")
def lenient():
    """The client is trusted: bare newlines become CRLF."""
    with Postern() as server:
        yield server


def begin(server):
    c = server.smtp()
    c.ehlo()
    c.mail("a@client.example")
    c.rcpt("user@local.example")
    return c


def hidden_in(seq):
    return b"Subject: outer\r\n\r\nbody" + seq + HIDDEN + b"\r\n.\r\n"


def send(c, data, one_by_one):
    if not one_by_one:
        c.send(data)
        return
    for i in range(len(data)):
        c.send(data[i:i + 1])


@pytest.mark.parametrize("one_by_one", [False, True], ids=["at once", "byte by byte"])
@pytest.mark.parametrize("seq", sequences(), ids=repr)
def test_stranger_hides_nothing(strict, seq, one_by_one):
    c = begin(strict)
    c.expect("DATA", 354)
    send(c, hidden_in(seq) + b"NOOP\r\n", one_by_one)
    reply = c.read_reply()
    if is_bare(seq):
        assert (reply.code, reply.esc) == (550, "5.6.0")
    else:
        assert reply.code == 250
    assert c.read_reply().code == 250       # NOOP: nothing in between
    c.quit()


@pytest.mark.parametrize("seq", sequences(), ids=repr)
def test_trusted_client_hides_nothing(lenient, seq):
    c = begin(lenient)
    c.expect("DATA", 354)
    send(c, hidden_in(seq) + b"NOOP\r\n", False)
    reply = c.read_reply()
    assert reply.code == 250 and QID.search(reply.text)
    assert c.read_reply().code == 250
    c.quit()


@pytest.mark.parametrize("seq", sequences(), ids=repr)
def test_chunks_hide_nothing(strict, seq):
    c = begin(strict)
    text = hidden_in(seq) + b"\r\n.\r\nQUIT\r\n"
    c.send(b"BDAT %d LAST\r\n" % len(text) + text + b"NOOP\r\n")
    reply = c.read_reply()
    assert reply.code == (550 if is_bare(seq) else 250)
    assert c.read_reply().code == 250
    c.quit()


def test_each_of_these_was_one_message(strict, lenient):
    """Runs last in this file: what arrived."""
    for server in (strict, lenient):
        received = len(server.log_lines(r"\breceived\b.*\bqid="))
        server.wait_empty()
        assert not server.log_lines(r"\breceived\b.*evil@")
        assert not server.maildir("b").files()
        assert len(server.maildir("user").files()) == received


def test_bare_newlines_of_trusted_clients_become_crlf(make_server):
    server = make_server()
    c = begin(server)
    c.expect("DATA", 354)
    c.send(b"Subject: x\n\none\rtwo\n.\nthree\n..four\r\n.\r\n")
    assert c.read_reply().code == 250
    text = server.maildir("user").wait(1)[0]
    body = text.replace(b"\r\n", b"\n").split(b"\n\n", 1)[1]
    assert body == b"one\ntwo\n.\nthree\n.four\n"


def test_bare_newlines_may_be_refused_for_all_or_nobody(make_server):
    server = make_server(conf={"bare_newline_trusted": "reject"})
    c = begin(server)
    c.expect("DATA", 354)
    c.send(b"a\nb\r\n.\r\n")
    assert c.read_reply().esc == "5.6.0"
    server = make_server(conf={"bare_newline": "normalize", "relay_from": ["192.0.2.1"]})
    c = begin(server)
    c.expect("DATA", 354)
    c.send(b"a\nb\r\n.\r\n")
    assert c.read_reply().code == 250


def test_command_lines_end_with_crlf_only(strict):
    c = strict.smtp()
    c.ehlo()
    c.send(b"NOOP\nMAIL FROM:<evil@client.example>\r\nNOOP\r\n")
    assert c.read_reply().code == 500
    assert c.read_reply().code == 250
    c.send(b"NOOP\rMAIL FROM:<evil@client.example>\r\nNOOP\r\n")
    assert c.read_reply().code == 500
    assert c.read_reply().code == 250
    c.expect("RCPT TO:<user@local.example>", 503)
