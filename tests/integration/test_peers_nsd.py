# SPDX-License-Identifier: ISC
"""A real name server: mail follows its MX records."""
from tests.harness.nexthop import NextHop
from tests.harness.peers import Nsd
from tests.harness.postern import Postern
from tests.harness.smtp import message

ZONE = """$ORIGIN nsd.example.
$TTL 300
@ IN SOA ns.nsd.example. admin.nsd.example. 1 3600 600 86400 300
@ IN NS ns.nsd.example.
ns IN A 127.0.0.1
@ IN MX 10 dead
@ IN MX 20 alive
dead IN A 127.0.0.3
alive IN A 127.0.0.1
alias IN CNAME nsd.example.
null IN MX 0 .
"""


def test_mail_follows_the_mail_exchangers_of_nsd():
    with NextHop() as hop, Nsd("nsd.example", ZONE) as nsd, Postern(start=False) as server:
        server.write("transport", "".join(f"{d}nsd.example smtp:{d}nsd.example:{hop.port}\n" for d in ("", "alias.")))
        server.write_conf({"transport": server.path("transport"), "resolver": {"servers": [nsd.spec], "dnssec": False}})
        server.start()
        with server.smtp() as c:
            c.ehlo()
            rcpts = ["a@nsd.example", "a@alias.nsd.example"]
            for rcpt in rcpts + ["a@null.nsd.example", "a@nothing.nsd.example"]:
                c.send_mail("user@local.example", rcpt, message("by MX"))
        hop.wait(2)
        assert sorted(r for m in hop.messages for r in m.rcpts) == sorted(rcpts)
        reports = b"".join(server.maildir("user").wait(2))
        assert b"Status: 5.1.10" in reports and b"Status: 5.1.2" in reports
        server.wait_empty()
