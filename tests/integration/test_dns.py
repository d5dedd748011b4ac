# SPDX-License-Identifier: ISC
"""What DNS says and how it fails, through the real router in its sandbox: `postern route` shows the plan that delivery
would get. qmgr and delivery are stand-ins."""
import os
import re
import shutil
import socket
import struct
import subprocess
import time

import pytest

from tests.harness.dns import Dns, wire_name
from tests.harness.ports import free_port, give_back
from tests.harness.postern import IS_ROOT, ROOT, SLOW, Postern, program, wait_until
from tests.harness.stub import make_stub

TIMEOUT_S = 2
REAL = ("router", "control", "smtpd", "qmgr")    # smtpd waits for router and qmgr


@pytest.fixture(scope="module")
def libexec():
    folder = make_stub()
    for name in REAL:
        os.remove(os.path.join(folder, name))
        shutil.copy(program(name), folder)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def dns():
    with Dns() as d:
        yield d


def conf_for(spec, **more):
    conf = {"resolver": {"servers": [spec], "dnssec": False}, "timeouts": {"dns": f"{TIMEOUT_S}s"}}
    conf.update(more)
    return conf


@pytest.fixture(scope="module")
def router(libexec, dns):
    with Postern(conf=conf_for(dns.spec), libexec=libexec) as server:
        yield server


def steps(server, address, *args):
    """Texts of the steps of `postern route`."""
    out = server.postern("route", *args, address).stdout
    return [re.sub(r"^ *\d+\. ", "", line) for line in out.splitlines() if line.strip()]


def hosts(server, address):
    """(name, preference, addresses) of the hosts of the plan, in order."""
    found = []
    for line in steps(server, address):
        m = re.fullmatch(r"host (\S+) \(preference (\d+)\), port \d+:(.*)", line)
        if m:
            found.append((m[1], int(m[2]), m[3].split()))
    return found


def site(server, address):
    return [line[5:] for line in steps(server, address) if line.startswith("site ")]


# -- what is there --

def test_mail_exchangers_in_order_of_preference_with_all_their_addresses(router, dns):
    dns.mx("order.example", (20, "b.order.example"), (10, "a.order.example"), (30, "c.order.example"))
    dns.a("a.order.example", "192.0.2.1", "192.0.2.2", "2001:db8::1")
    dns.a("b.order.example", "192.0.2.3")
    dns.a("c.order.example", "2001:db8::3")
    found = hosts(router, "x@order.example")
    assert [(h, p) for h, p, _ in found] == [("a.order.example", 10), ("b.order.example", 20), ("c.order.example", 30)]
    assert found[0][2][0] == "2001:db8::1", "resolver { prefer } is ipv6"
    assert sorted(found[0][2]) == ["192.0.2.1", "192.0.2.2", "2001:db8::1"]
    assert found[2][2] == ["2001:db8::3"]


def test_equal_preferences_are_shuffled_but_keep_their_site(router, dns):
    names = [f"mx{i}.equal.example" for i in range(6)]
    dns.mx("equal.example", *[(10, n) for n in names])
    for n in names:
        dns.a(n, "192.0.2.9")
    orders, sites = set(), set()
    for _ in range(8):
        orders.add(tuple(h for h, _, _ in hosts(router, "x@equal.example")))
        sites.update(site(router, "x@equal.example"))
    assert len(orders) > 1
    assert len(sites) == 1


def test_two_domains_of_one_provider_share_a_site(router, dns):
    for d in ("one.example", "two.example"):
        dns.mx(d, (10, "mx1.provider.example"), (20, "mx2.provider.example"))
    dns.mx("three.example", (10, "mx1.provider.example"))
    dns.a("mx1.provider.example", "192.0.2.4")
    dns.a("mx2.provider.example", "192.0.2.5")
    assert site(router, "x@one.example") == site(router, "x@two.example") != []
    assert site(router, "x@three.example") not in ([], site(router, "x@one.example"))


def test_without_mx_the_domain_itself_is_the_host(router, dns):
    dns.a("plain.example", "192.0.2.6", "2001:db8::6")
    assert hosts(router, "x@plain.example") == [("plain.example", 0, ["2001:db8::6", "192.0.2.6"])]


def test_a_chain_of_aliases_is_followed(router, dns):
    dns.cname("alias.example", "b.alias.example")
    dns.cname("b.alias.example", "real.example")
    dns.mx("real.example", (5, "mx.real.example"))
    dns.cname("mx.real.example", "host.real.example")
    dns.a("host.real.example", "192.0.2.7")
    assert hosts(router, "x@alias.example") == [("mx.real.example", 5, ["192.0.2.7"])]


def test_a_domain_with_u_labels_is_asked_with_a_labels(router, dns):
    dns.mx("xn--bcher-kva.example", (10, "mx.xn--bcher-kva.example"))
    dns.a("mx.xn--bcher-kva.example", "192.0.2.8")
    assert hosts(router, "x@bücher.example") == [("mx.xn--bcher-kva.example", 10, ["192.0.2.8"])]
    assert hosts(router, "x@BÜCHER.example") == hosts(router, "x@xn--bcher-kva.example")


def test_an_address_literal_needs_no_dns(router, dns):
    before = dns.count()
    assert hosts(router, "x@[192.0.2.10]") == [("192.0.2.10", 0, ["192.0.2.10"])]
    assert hosts(router, "x@[IPv6:2001:db8::10]") == [("2001:db8::10", 0, ["2001:db8::10"])]
    assert dns.count() == before


def test_many_hosts_and_addresses_are_bounded(router, dns):
    names = [f"mx{i:02}.many.example" for i in range(60)]
    dns.mx("many.example", *[(i, n) for i, n in enumerate(names)])
    for n in names:
        dns.a(n, *[f"192.0.2.{i}" for i in range(1, 60)])
    found = hosts(router, "x@many.example")
    assert 10 <= len(found) <= 64
    assert [h for h, _, _ in found] == names[:len(found)], "the best ones"
    assert all(1 <= len(a) <= 64 for _, _, a in found)


def test_an_answer_too_long_for_udp_is_asked_by_tcp(router, dns):
    names = [f"a-long-name-of-a-mail-exchanger-{i:02}.{'x' * 60}.long.example" for i in range(15)]
    dns.mx("long.example", *[(i, n) for i, n in enumerate(names)])
    dns.a(names[0], "192.0.2.11")
    assert hosts(router, "x@long.example")[0] == (names[0], 0, ["192.0.2.11"])


# -- what is not --

def last(server, address):
    return steps(server, address)[-1]


def test_a_domain_that_does_not_exist_is_refused(router):
    assert "refused: 550 5.1.2" in last(router, "x@nowhere.example")


def test_null_mx_is_refused(router, dns):
    dns.mx("null.example", (0, "."))
    dns.a("null.example", "192.0.2.12")
    assert "refused: 556 5.1.10" in last(router, "x@null.example")


def test_a_domain_without_any_address_is_refused(router, dns):
    dns.txt("empty.example", "nothing but words")
    assert "refused: 550 5.4.4" in last(router, "x@empty.example")


@pytest.mark.parametrize("how", ["servfail", "refused", "garbage"])
def test_a_server_that_fails_defers(router, dns, how):
    dns.fail(f"{how}.example", how)
    assert "not now: 451 4.4.3" in last(router, f"x@{how}.example")


def test_a_silent_server_defers_in_time(router, dns):
    dns.fail("silent.example", "silent")
    began = time.monotonic()
    assert "not now: 451 4.4.3" in last(router, "x@silent.example")
    assert TIMEOUT_S - 0.5 <= time.monotonic() - began <= TIMEOUT_S * 2 * SLOW


def test_a_loop_of_aliases_defers(router, dns):
    dns.cname("loop.example", "b.loop.example")
    dns.cname("b.loop.example", "loop.example")
    assert "not now: 451 4.4.3" in last(router, "x@loop.example")


def test_addresses_that_cannot_be_had_now_defer(router, dns):
    dns.mx("half.example", (10, "mx.half.example"))
    dns.fail("mx.half.example", "servfail")
    assert "not now: 451 4.4.3" in last(router, "x@half.example")


def test_a_host_whose_address_cannot_be_had_leaves_the_others(router, dns):
    dns.mx("partly.example", (10, "bad.partly.example"), (20, "good.partly.example"))
    dns.fail("bad.partly.example", "servfail")
    dns.a("good.partly.example", "192.0.2.13")
    assert hosts(router, "x@partly.example") == [("good.partly.example", 20, ["192.0.2.13"])]


def test_names_no_host_can_have_are_no_hosts(router, dns):
    dns.mx("odd.example", (5, [b"a b\r\nc", b"example"]), (10, "ok.odd.example"))
    dns.a("ok.odd.example", "192.0.2.14")
    assert hosts(router, "x@odd.example") == [("ok.odd.example", 10, ["192.0.2.14"])]
    dns.mx("onlyodd.example", (5, [b"x@y", b"example"]))
    dns.a("onlyodd.example", "192.0.2.15")
    assert "refused: 550" in last(router, "x@onlyodd.example")


def test_a_broken_mx_record_harms_nobody(router, dns):
    dns.add("short.example", "MX", b"\0")
    dns.a("short.example", "192.0.2.16")
    assert steps(router, "x@short.example")
    assert router.pids("router"), "router lives"
    assert "refused: 550 5.1.2" in last(router, "x@nowhere.example")


# -- ourselves --

def test_the_own_name_drops_itself_and_what_is_not_better(router, dns):
    dns.mx("backup.example", (10, "first.backup.example"), (20, "MX.test.example"), (20, "equal.backup.example"),
           (30, "last.backup.example"))
    for n in ("first", "equal", "last"):
        dns.a(f"{n}.backup.example", "192.0.2.17")
    dns.a("mx.test.example", "192.0.2.18")
    assert [h for h, _, _ in hosts(router, "x@backup.example")] == ["first.backup.example"]


def test_the_own_name_as_the_best_is_a_loop(router, dns):
    dns.mx("self.example", (10, "mx.test.example"), (20, "other.self.example"))
    dns.a("mx.test.example", "192.0.2.18")
    dns.a("other.self.example", "192.0.2.19")
    assert "refused: 554 5.4.6" in last(router, "x@self.example")


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1", "224.0.0.1",
                                     "169.254.1.1", "fe80::1", "ff02::1"])
def test_dns_cannot_lead_to_this_machine(router, dns, address):
    name = "inward-" + re.sub(r"\W", "-", address).strip("-") + "x.example"
    dns.mx(name, (10, "mx." + name))
    dns.a("mx." + name, address)
    assert "refused: 550 5.4.4" in last(router, "x@" + name)
    dns.mx("and-" + name, (10, "mx." + name), (20, "out." + name))
    dns.a("out." + name, "192.0.2.20")
    assert [h for h, _, _ in hosts(router, "x@and-" + name)] == ["out." + name]


def test_a_literal_cannot_lead_to_this_machine(router):
    assert "refused: 550 5.4.4" in last(router, "x@[127.0.0.1]")
    assert "refused: 550 5.4.4" in last(router, "x@[IPv6:::1]")


def test_what_the_administrator_named_may_be_this_machine(libexec, dns):
    with Postern(conf=conf_for(dns.spec, relay_host="[127.0.0.1]:2525"), libexec=libexec) as server:
        assert hosts(server, "x@any.example") == [("127.0.0.1", 0, ["127.0.0.1"])]


# -- next hops that are named --

def test_a_relay_host_by_name_by_domain_and_from_the_hosts_file(libexec, dns):
    dns.mx("smart.example", (10, "mx.smart.example"))
    dns.a("mx.smart.example", "192.0.2.21")
    dns.a("smart.example", "192.0.2.22")
    with Postern(conf=conf_for(dns.spec, relay_host="[smart.example]:587"), libexec=libexec) as server:
        assert hosts(server, "x@any.example") == [("smart.example", 0, ["192.0.2.22"])]
        server.write_conf({"relay_host": "smart.example"})
        server.reload()
        assert hosts(server, "x@any.example") == [("mx.smart.example", 10, ["192.0.2.21"])]
        server.write_conf({"relay_host": "[localhost]:25"})
        server.reload()
        found = hosts(server, "x@any.example")
        assert [h for h, _, _ in found] == ["localhost"] and "127.0.0.1" in found[0][2]


def test_a_relay_host_that_dns_does_not_know_costs_no_mail(libexec, dns):
    with Postern(conf=conf_for(dns.spec, relay_host="[gone.example]"), libexec=libexec) as server:
        assert "not now: 451" in last(server, "x@any.example")
        server.write_conf({"relay_host": "gone.example"})
        server.reload()
        assert "not now: 451" in last(server, "x@any.example")


# -- how often it asks, and whom --

def test_other_servers_after_a_reload(libexec, dns):
    dns.mx("moved.example", (10, "old.moved.example"))
    dns.a("old.moved.example", "192.0.2.23")
    with Dns() as other, Postern(conf=conf_for(dns.spec), libexec=libexec) as server:
        other.mx("moved.example", (10, "new.moved.example"))
        other.a("new.moved.example", "192.0.2.24")
        assert [h for h, _, _ in hosts(server, "x@moved.example")] == ["old.moved.example"]
        pid = server.pids("router")
        server.write_conf({"resolver": {"servers": [other.spec], "dnssec": False}})
        server.reload()
        assert [h for h, _, _ in hosts(server, "x@moved.example")] == ["new.moved.example"]
        assert server.pids("router") == pid, "options are taken in place"


def test_a_question_in_flight_is_asked_again_at_the_new_server(libexec):
    with Dns() as old, Dns() as new:
        old.fail("waiting.example", "silent")
        new.mx("waiting.example", (10, "mx.waiting.example"))
        new.a("mx.waiting.example", "192.0.2.25")
        conf = conf_for(old.spec)
        conf["timeouts"] = {"dns": "60s"}
        with Postern(conf=conf, libexec=libexec) as server:
            asking = subprocess.Popen([program("postern"), "route", "x@waiting.example", "-c", server.conf_path],
                                      stdout=subprocess.PIPE, text=True)
            wait_until(lambda: old.count("waiting.example"), 10, "the question")
            server.write_conf({"resolver": {"servers": [new.spec], "dnssec": False}})
            server.reload()
            out, _ = asking.communicate(timeout=20 * SLOW)
            assert "host mx.waiting.example (preference 10), port 25: 192.0.2.25" in out


def test_the_second_of_two_servers_is_asked_when_the_first_is_silent(libexec, dns):
    port = free_port()
    dns.mx("second.example", (10, "mx.second.example"))
    dns.a("mx.second.example", "192.0.2.26")
    conf = conf_for(dns.spec)
    conf["resolver"]["servers"] = [f"127.0.0.1@{port}", dns.spec]
    conf["timeouts"] = {"dns": "30s"}
    try:
        with Postern(conf=conf, libexec=libexec) as server:
            assert [h for h, _, _ in hosts(server, "x@second.example")] == ["mx.second.example"]
    finally:
        give_back(port)


def test_a_thousand_silent_questions_leave_router_small_and_alive(libexec, dns):
    """Memory is bounded, and other questions are answered meanwhile."""
    with Postern(conf=conf_for(dns.spec), libexec=libexec) as server:
        asking = []
        for i in range(40):
            dns.fail(f"slow{i}.example", "silent")
            asking.append(subprocess.Popen([program("postern"), "route", f"x@slow{i}.example", "-c", server.conf_path],
                                           stdout=subprocess.PIPE, text=True))
        assert hosts(server, "x@plain.example") or "refused" in last(server, "x@plain.example")
        for p in asking:
            out, _ = p.communicate(timeout=30 * SLOW)
            assert "not now: 451 4.4.3" in out
        assert server.pids("router")


# -- a trust anchor --

BROKEN_ANCHOR = ". IN DS no anchor at all\n"
ROOT_ANCHOR = "; the root\n. 3600 IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D ; ksk\n"


@pytest.fixture
def make_anchored(libexec, dns, tmp_path):
    """make_anchored(text): a server that finds this trust anchor, in a mount namespace of its own."""
    made = []

    def make(text, **more):
        lower, folder = tmp_path / "lower", tmp_path / "lower" / "dns"
        os.chmod(tmp_path, 0o755)
        folder.mkdir(parents=True)
        (folder / "root.key").write_text(text)
        mount = f'mount -t overlay -o "lowerdir={lower}:/usr/share" overlay /usr/share'
        if subprocess.run(["unshare", "-m", "sh", "-c", mount], capture_output=True).returncode != 0:
            pytest.skip("no overlay mount here")
        conf = conf_for(dns.spec, **more)
        conf["resolver"]["dnssec"] = True
        server = Postern(conf=conf, libexec=libexec, prefix=["unshare", "-m", "sh", "-c", mount + ' && exec "$@"', "-"])
        made.append(server)
        return server

    yield make
    for server in made:
        server.close()


@pytest.mark.root
def test_an_answer_that_is_not_signed_is_not_believed_under_the_root_key(make_anchored, dns):
    dns.mx("forged.example", (10, "mx.forged.example"))
    dns.a("mx.forged.example", "192.0.2.27")
    server = make_anchored(ROOT_ANCHOR)
    assert "not now: 451 4.4.3 forged.example: DNSSEC validation failed" in last(server, "x@forged.example")
    assert dns.count("", "DNSKEY") > 0


@pytest.mark.root
def test_a_broken_trust_anchor_is_told_and_mail_flows(make_anchored, dns):
    dns.mx("flows.example", (10, "mx.flows.example"))
    dns.a("mx.flows.example", "192.0.2.28")
    server = make_anchored(BROKEN_ANCHOR)
    server.wait_log("refuses the DNSSEC trust anchor")
    assert [h for h, _, _ in hosts(server, "x@flows.example")] == ["mx.flows.example"]


@pytest.mark.root
def test_what_router_says_before_its_sandbox_stands_in_the_log(make_anchored, tmp_path):
    """The log is a file, which only logd writes; it does not listen yet when the anchors are read."""
    log = tmp_path / "mail.log"
    server = make_anchored("; a comment\n" * 100000, log={"to": str(log)})
    wait_until(lambda: "/usr/share/dns/root.key cannot be read" in log.read_text(), what="the warning")


# -- a real server --

ZONE = """$ORIGIN nsd.example.
$TTL 300
@ IN SOA ns.nsd.example. admin.nsd.example. 1 3600 600 86400 300
@ IN NS ns.nsd.example.
ns IN A 127.0.0.1
@ IN MX 10 mx1
@ IN MX 20 mx2
mx1 IN A 192.0.2.30
mx1 IN AAAA 2001:db8::30
mx2 IN A 192.0.2.31
null IN MX 0 .
"""


@pytest.fixture
def nsd(tmp_path):
    """Port of a running nsd with the zone above."""
    if subprocess.run(["scripts/peers", "root", "nsd"], cwd=ROOT, capture_output=True).returncode != 0:
        pytest.skip("nsd is not unpacked (scripts/peers nsd)")
    port = free_port()
    os.chmod(tmp_path, 0o755)
    (tmp_path / "nsd.example.zone").write_text(ZONE)
    conf = tmp_path / "nsd.conf"
    conf.write_text(f"""server:
    ip-address: 127.0.0.1@{port}
    zonesdir: "{tmp_path}"
    database: ""
    username: ""
    pidfile: "{tmp_path}/nsd.pid"
    xfrdfile: "{tmp_path}/xfrd.state"
    zonelistfile: "{tmp_path}/zone.list"
    cookie-secret-file: ""
    server-count: 1
remote-control:
    control-enable: no
zone:
    name: nsd.example
    zonefile: nsd.example.zone
""")
    with open(tmp_path / "out", "wb") as log:
        process = subprocess.Popen(["scripts/peers", "run", "nsd", "nsd", "-d", "-c", str(conf)], cwd=ROOT, stdout=log,
                                   stderr=log)
    try:
        wait_until(lambda: process.poll() is not None or _answers(port), 15, "nsd")
        if process.poll() is not None:
            if process.returncode == 77:
                pytest.skip("nsd cannot be run here")
            raise AssertionError((tmp_path / "out").read_text())
        yield port
    finally:
        process.terminate()
        process.wait(10)
        give_back(port)


def _answers(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(0.2)
        s.connect(("127.0.0.1", port))
        try:
            s.send(struct.pack("!HHHHHH", 1, 0, 1, 0, 0, 0) + wire_name("nsd.example") + struct.pack("!HH", 6, 1))
            return len(s.recv(512)) > 12
        except OSError:
            return False


def test_a_real_name_server(libexec, nsd):
    with Postern(conf=conf_for(f"127.0.0.1@{nsd}"), libexec=libexec) as server:
        assert hosts(server, "x@nsd.example") == [("mx1.nsd.example", 10, ["2001:db8::30", "192.0.2.30"]),
                                                  ("mx2.nsd.example", 20, ["192.0.2.31"])]
        assert "refused: 556 5.1.10" in last(server, "x@null.nsd.example")
        assert "refused: 550 5.1.2" in last(server, "x@nix.nsd.example")
