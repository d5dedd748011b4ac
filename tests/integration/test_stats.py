# SPDX-License-Identifier: ISC
"""`postern stats` in its three forms; the one for Prometheus is read as strictly as its format is described."""
import json
import re

from tests.harness.postern import ROOT
from tests.harness.smtp import message

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'


def parse(text):
    """Text format 0.0.4: {name: (type, help, {labels: value})}. Families stand together, HELP and TYPE first, each once."""
    assert text.endswith("\n") and "\r" not in text
    families, open_name, told = {}, None, None
    for line in text[:-1].split("\n"):
        if m := re.fullmatch(rf"# HELP ({NAME}) (.+)", line):
            told = m
            assert m.group(1) not in families, f"{line}: stands twice"
        elif m := re.fullmatch(rf"# TYPE ({NAME}) (counter|gauge)", line):
            open_name = m.group(1)
            assert told.group(1) == open_name
            families[open_name] = (m.group(2), told.group(2), {})
        else:
            m = re.fullmatch(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (-?[0-9]+(?:\.[0-9]+)?)", line)
            assert m, f"no sample: {line!r}"
            assert m.group(1) == open_name, f"{line}: not behind its TYPE"
            assert m.group(2) not in families[open_name][2], f"{line}: stands twice"
            families[open_name][2][m.group(2)] = float(m.group(3))
    return families


def leaves(o):
    return sum(leaves(v) if isinstance(v, dict) else 1 for v in o.values())


def test_prometheus(server):
    with server.smtp() as c:
        c.ehlo()
        c.send_mail("a@client.example", ["user@local.example", "b@local.example"], message())
        c.cmd("MAIL FROM:<a@client.example>")
        c.rcpt("nobody@local.example", code=550)
    server.wait_empty()
    families = parse(server.postern("stats", "--prometheus").stdout)
    for name, (kind, help_text, samples) in families.items():
        assert name.startswith("postern_") and name == name.lower()
        assert (kind == "counter") == name.endswith("_total"), name
        assert help_text.endswith(".") and samples, name
    # Every number has a name; rows of cli/metrics.def.
    assert sum(len(f[2]) for f in families.values()) == leaves(json.loads(server.postern("stats", "--json").stdout))
    assert families["postern_delivery_recipients_total"][2]['result="delivered"'] == 2
    assert families["postern_smtpd_rejects_total"][2]['reason="unknown"'] == 1
    assert families["postern_queue_messages"] == ("gauge", "Messages in the queue.", {None: 0})
    assert families["postern_spool_intake_open"][2] == {None: 1}


def test_text_has_the_numbers_of_json(server):
    text = dict(line.split(" ") for line in server.postern("stats").stdout.splitlines())
    assert leaves(json.loads(server.postern("stats", "--json").stdout)) == len(text)
    assert text["queue.messages"] == "0" and int(text["spool.free_bytes"]) > 0


def test_every_metric_is_documented():
    rows = re.findall(r'^(?:COUNTER|GAUGE)\("(\w+)", "(.*?)", ', open(f"{ROOT}/cli/metrics.def", encoding="ascii").read(), re.M)
    documented = set(re.findall(r"^\| `(postern_\w+)", open(f"{ROOT}/docs/stats.md", encoding="utf-8").read(), re.M))
    assert documented == {f"postern_{name}" for name, _ in rows}


def test_top_is_one_page_where_nobody_watches(server):
    """And fits on a terminal of 24 lines."""
    with server.smtp() as c:
        c.ehlo()
        c.send_mail("a@client.example", ["user@local.example"], message())
    server.wait_empty()
    page = server.postern("top").stdout.splitlines()
    assert len(page) <= 24 and all(len(line) <= 80 for line in page)
    assert any(re.match(r"  messages in +1 ", line) for line in page)
    assert any(re.search(r"  delivered +1 ", line) for line in page)
    assert any(re.match(r" +queued messages +0", line) for line in page)
    assert any(re.match(r" +qmgr +\d+ +\d+ KiB", line) for line in page)
