# SPDX-License-Identifier: ISC
"""master alone: its children are stand-ins (harness/stub.py) in the real frame and sandbox."""
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

from tests.harness.ports import free_port
from tests.harness.postern import MODE, SLOW, USERS, StartFailed, wait_until, is_running
from tests.harness.stub import make_stub

KINDS = ["logd", "qmgr", "router", "smtpd", "delivery", "mailbox", "control"]
NOBODY = 65534


@pytest.fixture(scope="module")
def stub():
    folder = make_stub()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def make(stub, make_server):
    return lambda *a, **kw: make_server(*a, libexec=stub, **kw)


def fails(make, **kw):
    """Status and output of a server that does not start."""
    with pytest.raises(StartFailed) as failed:
        make(**kw)
    return failed.value.status, failed.value.output


def banner(port, host="127.0.0.1"):
    with socket.create_connection((host, port), 10) as s:
        return s.recv(100).decode()


# ---- start ----

def test_ready_line_has_version_time_and_addresses(make):
    server = make()
    line = server.wait_log(r" ready ")
    assert re.search(r"version=\d+\.\d+\.\d+ start_ms=\d+ listen=127\.0\.0\.1:%d$" % server.port, line)
    assert int(re.search(r"start_ms=(\d+)", line).group(1)) < 300 * SLOW
    assert banner(server.port).startswith("220 ")


def test_every_process_of_the_graph_runs_once_or_as_often_as_configured(make):
    server = make(conf={"workers": {"smtpd": 3, "delivery": 1}})
    count = {kind: len(server.pids(kind)) for kind in KINDS}
    assert count == {"logd": 1, "qmgr": 1, "router": 1, "smtpd": 3, "delivery": 1, "mailbox": 1, "control": 1}


def test_what_is_not_configured_is_not_started(make):
    server = make(conf={'domain "local.example"': None})
    assert server.pids("mailbox") == [] and len(server.pids("qmgr")) == 1


def test_all_processes_of_the_graph_are_connected(make):
    server = make(conf={"workers": {"smtpd": 1, "delivery": 1}})
    edges = {("qmgr", k) for k in ("router", "smtpd", "delivery", "mailbox", "control", "logd")}
    edges |= {("router", k) for k in ("smtpd", "qmgr", "control", "logd")}
    for kind, peer in edges:
        server.wait_log(rf" {kind}\[\d+\]: peer kind={peer} ")


def test_slots_are_unique_and_qmgr_has_the_first(make):
    server = make()
    server.wait_log(r"qmgr\[\d+\]: peer kind=logd")
    slots = re.findall(r"smtpd\[\d+\]: peer kind=(?:qmgr) slot=(\d+)", server.log())
    assert set(slots) <= {"1"}
    seen = {banner(server.port).split()[1] for _ in range(40)}
    assert "1" not in seen and len(seen) <= 2


@pytest.mark.root
def test_folders_have_owners_and_modes(make):
    server = make()
    st = os.stat(server.path("spool/queue"))
    assert (st.st_uid, st.st_mode & 0o7777) == (int(USERS["qmgr"]), 0o700)
    assert os.stat(server.spool).st_uid == 0 and os.stat(server.spool).st_mode & 0o7777 == 0o755
    st = os.stat(server.path("mail"))
    assert (st.st_uid, st.st_mode & 0o7777) == (int(USERS["mailbox"]), 0o700)
    assert os.stat(server.path("run/empty")).st_mode & 0o222 == 0


@pytest.mark.root
def test_mailbox_base_in_a_home_that_others_cannot_enter(make):
    server = make(start=False)
    os.mkdir(server.path("home"), 0o700)
    server.write_conf({'domain "local.example"': {"mailbox_base": server.path("home/mail")}})
    server.start()
    server.wait_log(r"mailbox\[\d+\]: file name=dir:")


def test_star_listens_on_both_families(make):
    server = make(start=False)
    server.write_conf({'listen "smtp"': {"address": "*"}})
    server.start()
    assert banner(server.port).startswith("220 ")
    if socket.has_ipv6 and os.path.exists("/proc/net/if_inet6"):
        assert banner(server.port, "::1").startswith("220 ")


# ---- a start that fails says why ----

def test_unknown_option_names_file_line_and_suggestion(make):
    status, out = fails(make, extra='limits { recipents = 5 }\n')
    assert status == 78
    assert re.search(r"postern\.conf:\d+: .*recipents.*recipients", out)


def test_out_of_range_is_refused(make):
    status, out = fails(make, conf={"hop_limit": 100000})
    assert status == 78 and re.search(r"postern\.conf:\d+: .*hop_limit", out)


def test_unreadable_file_is_refused(make):
    server = make(start=False)
    os.unlink(server.conf_path)
    with pytest.raises(StartFailed) as failed:
        server.start()
    assert failed.value.status == 78 and "postern.conf" in failed.value.output


def test_port_taken_names_the_program_that_has_it(make):
    taken = socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    status, out = fails(make, conf={'listen "smtp"': {"port": port}})
    taken.close()
    assert status == 78
    assert re.search(rf'postern\.conf:\d+: listen "smtp": port {port} of 127\.0\.0\.1 is taken by', out) and f"(process {os.getpid()})" in out
    assert "set another port" in out


def test_failed_start_leaves_no_pid_file_but_that_of_a_running_server(make):
    first = make()
    second = make(start=False)
    second.write_conf({"directories": {"run": first.run_dir}})
    with pytest.raises(StartFailed):
        second.start()
    assert os.path.exists(first.path("run/postern.pid")) and os.path.exists(first.path("run/control.sock"))
    third = make(start=False)
    third.write_conf({'listen "smtp"': {"port": first.port}})
    with pytest.raises(StartFailed):
        third.start()
    assert not os.path.exists(third.path("run/postern.pid")) and not os.path.exists(third.path("run/control.sock"))


def test_address_of_another_host_is_refused(make):
    status, out = fails(make, conf={'listen "smtp"': {"address": "192.0.2.1"}})
    assert status == 78 and "this host has no address 192.0.2.1" in out


def test_mailbox_base_that_cannot_be_made_is_named_with_its_line(make):
    status, out = fails(make, conf={'domain "local.example"': {"mailbox_base": "/dev/null/mail"}})
    assert status == 78
    assert re.search(r'postern\.conf:\d+: domain "local\.example": mailbox_base /dev/null/mail cannot be made or opened: Not a directory', out)


@pytest.mark.root
def test_missing_user_is_refused_with_the_remedy(make):
    status, out = fails(make, conf={"users": {"qmgr": "no-such-user-here"}})
    assert status == 78 and "no-such-user-here" in out and "useradd" in out


@pytest.mark.root
@pytest.mark.parametrize("user", ["root", "0"])
def test_root_is_refused_as_a_user(make, user):
    status, out = fails(make, conf={"users": {"smtpd": user}})
    assert status == 78 and "root" in out


@pytest.mark.root
def test_two_processes_of_one_user_are_warned_about(make):
    server = make(conf={"users": {"smtpd": "70002"}})
    assert re.search(r"users\.smtpd and users\.router are both 70002|users\.router and users\.smtpd are both 70002", server.log())


def test_second_instance_is_refused_and_names_the_first(make):
    first = make()
    second = make(start=False)
    second.write_conf({"directories": {"run": first.run_dir}})
    with pytest.raises(StartFailed) as failed:
        second.start()
    assert failed.value.status == 75
    assert f"in use by a running server, process {first.master_pid}" in failed.value.output
    assert banner(first.port).startswith("220 ")


def test_second_instance_on_one_spool_is_refused_and_names_the_first(make):
    first = make()
    second = make(start=False)
    second.write_conf({"directories": {"spool": first.spool}})
    with pytest.raises(StartFailed) as failed:
        second.start()
    assert failed.value.status == 75
    assert f"{first.spool} is in use by a running server, process {first.master_pid}" in failed.value.output


@pytest.mark.root
def test_spool_of_another_user_is_refused_with_the_remedy(make):
    server = make(start=False)
    server.write("spool/queue/segments/1.seg", b"x")
    os.chown(server.path("spool/queue"), 12345, 12345)
    with pytest.raises(StartFailed) as failed:
        server.start()
    assert failed.value.status == 78 and "chown -R 70004:70004" in failed.value.output


def test_log_file_that_cannot_be_written_is_refused(make):
    status, out = fails(make, conf={"log": {"to": "/nonexistent/postern.log"}})
    assert status == 78 and "/nonexistent/postern.log" in out


def test_child_that_refuses_ends_the_start(make):
    status, out = fails(make, env={"POSTERN_TEST_EXIT": "router:78"})
    assert status == 78 and "router cannot start" in out


def test_failed_start_leaves_no_process(make):
    server = make(start=False, env={"POSTERN_TEST_EXIT": "router:78"})
    with pytest.raises(StartFailed):
        server.start()
    wait_until(lambda: not server.left_over(), 5, "no process left")


# ---- crashes ----

@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGSEGV], ids=["kill", "segv"])
@pytest.mark.parametrize("kind", KINDS)
def test_killed_child_comes_back_at_once(make, kind, sig):
    server = make(conf={"workers": {"smtpd": 1, "delivery": 1}},
                  env={"ASAN_OPTIONS": "handle_segv=0", "TSAN_OPTIONS": "handle_segv=0"})
    begin = server.log_size()
    t = time.monotonic()
    old = server.kill(kind, sig)
    new = server.wait_new_pid(kind, old)
    assert time.monotonic() - t < 1 * SLOW
    server.wait_log(rf"child_exit name={kind} slot=\d+ child={old} signal={sig.name} next_ms=0", begin=begin)
    server.wait_log(rf"child_start name={kind} slot=\d+ child={new}", begin=begin)
    # Its siblings heard of it and have a new channel.
    other = "router" if kind == "qmgr" else "qmgr"
    server.wait_log(rf"{other}\[\d+\]: peer_lost kind={kind} .*is_crash={int(sig == signal.SIGSEGV)} is_final=0", begin=begin)
    server.wait_log(rf"{other}\[\d+\]: peer kind={kind} ", begin=begin)
    if kind != "logd":
        server.wait_log(rf" {kind}\[{new}\]: peer kind=logd", begin=begin)
    assert banner(server.port).startswith("220 ")


def test_crash_again_is_restarted_with_back_off(make):
    server = make()
    for want in (0, 1000, 2000):
        old = server.kill("router")
        server.wait_log(rf"child_exit name=router .*child={old} .*next_ms={want}$")
        server.wait_new_pid("router", old)


def test_child_that_asks_for_time_gets_it(make):
    server = make(start=False, env={"POSTERN_TEST_EXIT": "router:75"})
    server.start(wait=False)
    wait_until(lambda: server.log_lines(r"child_exit name=router .*status=75 next_ms=2000"), 10)
    server.wait_log(r"child_exit name=router .*status=75 next_ms=1000$")


def test_garbage_from_a_child_gets_it_killed(make):
    server = make(start=False, env={"POSTERN_TEST_GARBAGE": "control"})
    server.start(wait=False)
    server.wait_log(r"child_exit name=control .*signal=SIGKILL reason=\"sent what is no message\" next_ms=0")


def test_ready_twice_gets_it_killed(make):
    server = make(start=False, env={"POSTERN_TEST_TWICE": "router"})
    server.start(wait=False)
    server.wait_log(r"child_exit name=router .*signal=SIGKILL reason=\"said READY twice\" next_ms=0")


def test_dead_master_takes_its_children_along(make):
    server = make()
    pids = server.pids()
    os.kill(server.master_pid, signal.SIGKILL)
    server.process.wait()
    wait_until(lambda: not any(is_running(p) for p in pids), 5, "children gone")
    server.start()          # the locks went with it
    assert banner(server.port).startswith("220 ")


# ---- requests ----

def test_worker_of_its_own_is_started_and_not_restarted(make):
    server = make(env={"POSTERN_TEST_WANT": "1"}, conf={"workers": {"delivery": 1}})
    pids = wait_until(lambda: len(server.pids("delivery")) == 2 and server.pids("delivery"), 5)
    os.kill(pids[1], signal.SIGKILL)
    server.wait_log(rf"child_exit name=delivery .*child={pids[1]} .*next=never")
    assert server.pids("delivery") == [pids[0]]


def test_unix_socket_of_the_configuration_is_connected(make):
    server = make(start=False)
    path = server.path("lmtp")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(5)
    os.chmod(path, 0o600)       # of root: delivery could not
    server.write_conf({'domain "box.example"': {"class": "lmtp", "next_hop": f"unix:{path}"}})
    server.env["POSTERN_TEST_UNIX"] = path
    server.start()
    listener.settimeout(10)
    assert listener.accept()[0].recv(10) == b"hello"
    server.wait_log(r"delivery\[\d+\]: info msg=\"unix connected 7\"")
    listener.close()


def test_unix_socket_of_nobodys_configuration_is_refused(make):
    server = make(env={"POSTERN_TEST_UNIX": "/run/dbus/system_bus_socket"})
    server.wait_log(r"unix refused: not named by next_hop or lmtp_sockets")


# ---- tables ----

def test_changed_table_is_handed_over_when_it_is_quiet(make):
    server = make()
    server.wait_log(r"router\[\d+\]: file name=table:.*/users size=\d+")
    begin = server.log_size()
    server.write("users", "x@local.example x/\n")
    line = server.wait_log(r"router\[\d+\]: file name=table:.*/users", 10, begin)
    assert line.endswith("size=19")


def test_vanished_table_is_reported_and_taken_again(make):
    server = make()
    begin = server.log_size()
    os.unlink(server.path("users"))
    server.wait_log(r"table .*/users: No such file or directory; make the file readable", 10, begin)
    server.wait_log(r"router.*file gone table:.*/users", 10, begin)
    server.write("users", "x@local.example x/\n")
    server.wait_log(r"router\[\d+\]: file name=table:.*/users size=19", 10, begin)


def test_missing_table_at_start_is_warned_about(make):
    server = make(start=False)
    os.unlink(server.path("users"))
    server.start()
    server.wait_log(r"warn .*table .*/users: No such file")
    server.wait_log(r"router.*file gone table:")


# ---- reload ----

def test_reload_replaces_workers_and_updates_the_others_in_place(make):
    server = make()
    old = {kind: server.pids(kind) for kind in KINDS}
    server.write_conf({"hop_limit": 42})
    out = server.reload()
    assert "result=done" in out
    wait_until(lambda: not set(old["smtpd"] + old["delivery"]) & set(server.pids()), 5, "old workers gone")
    for kind in ("logd", "qmgr", "router", "mailbox", "control"):
        assert server.pids(kind) == old[kind]
    assert len(server.pids("smtpd")) == 2 and len(server.pids("delivery")) == 2
    for kind in ("qmgr", "router", "mailbox", "control"):
        assert len(server.log_lines(rf" {kind}\[\d+\]: info msg=\"new options")) == 1
    server.wait_log(r"qmgr\[\d+\]: info msg=\"new options, hop_limit 42\"")


def test_reload_of_a_bad_file_keeps_the_last_good_one(make):
    server = make()
    old = server.pids()
    good = server.extra
    server.write_conf(extra="hop_limit = none\nno_such_option = 1\n")
    out = server.reload()
    assert re.search(r"postern\.conf:\d+: .*hop_limit", out) and re.search(r"postern\.conf:\d+: .*no_such_option", out)
    assert re.search(r"reload result=kept errors=2", out)
    assert server.pids() == old and banner(server.port).startswith("220 ")
    server.write_conf(extra=good)
    assert "result=done" in server.reload()


def test_reload_with_a_taken_port_keeps_the_last_good_one(make):
    server = make()
    old = server.pids()
    taken = socket.create_server(("127.0.0.1", 0))
    server.write_conf({'listen "more"': {"address": "127.0.0.1", "port": taken.getsockname()[1]}})
    out = server.reload()
    taken.close()
    assert re.search(r'postern\.conf:\d+: listen ."more.": port \d+ of 127\.0\.0\.1 is taken by', out) and "result=kept" in out
    assert server.pids() == old and banner(server.port).startswith("220 ")


def test_reload_refuses_no_connection(make):
    server = make()
    refused, count, is_over = [], [0], threading.Event()

    def connect():
        while not is_over.is_set():
            try:
                if not banner(server.port).startswith("220 "):
                    refused.append("no banner")
            except OSError as e:
                refused.append(repr(e))
            count[0] += 1

    threads = [threading.Thread(target=connect) for _ in range(4)]
    for t in threads:
        t.start()
    for _ in range(5):
        assert "result=done" in server.reload()
        time.sleep(0.1)
    is_over.set()
    for t in threads:
        t.join()
    assert not refused and count[0] > 50


def test_reload_opens_and_closes_ports(make):
    server = make()
    old, new = server.port, free_port()
    server.write_conf({'listen "smtp"': {"port": new}})
    assert "result=done" in server.reload()
    assert banner(new).startswith("220 ")

    def is_refused():
        try:
            banner(old)
        except ConnectionRefusedError:
            return True
    wait_until(is_refused, 5, "old port closed")


def test_reload_from_one_address_to_all_on_the_same_port(make):
    server = make()
    server.write_conf({'listen "smtp"': {"address": "*"}})
    assert "result=done" in server.reload()
    wait_until(lambda: banner(server.port).startswith("220 "), 5)


def test_reload_with_a_new_mailbox_base_replaces_the_mailbox_agent(make):
    server = make()
    old = server.pids("mailbox")
    server.write("more", "a@more.example a/\n")
    server.write_conf({'domain "more.example"': {"class": "virtual", "table": server.path("more"),
                                                 "mailbox_base": server.path("more-mail")}})
    out = server.reload()
    assert "result=done" in out
    new = server.wait_new_pid("mailbox", old)
    server.wait_log(rf"mailbox\[{new}\]: file name=dir:.*/more-mail")
    server.wait_log(r"router\[\d+\]: file name=table:.*/more size")


def test_reload_starts_more_or_fewer_workers(make):
    server = make()
    server.write_conf({"workers": {"smtpd": 4, "delivery": 1}})
    server.reload()
    wait_until(lambda: len(server.pids("smtpd")) == 4 and len(server.pids("delivery")) == 1, 5, "other numbers of workers")


def test_drain_of_an_old_worker_is_bounded(make):
    server = make(conf={"timeouts": {"drain": "300ms", "stop": "100ms"}, "workers": {"smtpd": 1, "delivery": 1}},
                  env={"POSTERN_TEST_DEAF": "smtpd"})
    old = server.pids("smtpd")[0]
    server.reload()
    server.wait_log(rf"child_exit name=smtpd .*child={old} signal=SIGKILL reason=\"did not stop in time\" next=never")


# ---- stop ----

@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT], ids=["term", "int"])
def test_stop_is_clean_and_in_order(make, sig):
    server = make(conf={"log": {"level": "debug"}})
    assert server.stop(sig=sig) == 0
    assert not server.left_over() and os.listdir(server.path("run")) == ["empty"]
    ended = re.findall(r"child_exit name=(\w+) .*status=0", server.log())
    order = [ended.index(k) for k in ("smtpd", "delivery", "qmgr", "router")]
    assert order == sorted(order)
    assert server.log_lines(r" stopped$")


def test_stop_is_bounded(make):
    server = make(conf={"timeouts": {"stop": "500ms"}}, env={"POSTERN_TEST_DEAF": "smtpd"})
    t = time.monotonic()
    assert server.stop() == 0
    assert 0.4 < time.monotonic() - t < 5 * SLOW


def test_second_signal_hastens_the_stop(make):
    server = make(env={"POSTERN_TEST_DEAF": "smtpd"})
    server.send_signal(signal.SIGTERM)
    server.wait_log(r"smtpd\[\d+\]: info msg=\"stop is_reload=0")
    t = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - t < 6 * SLOW


# ---- other ways to run ----

@pytest.mark.root
def test_as_process_1_it_reaps_orphans(make):
    server = make(prefix=["unshare", "-p", "-f", "--mount-proc", "sh", "-c",
                          "(sleep 0.3 &); (sleep 0.4 &); exec \"$@\"", "sh"])
    with open(server.path("run/postern.pid")) as f:
        assert f.read().strip() == "1"
    assert banner(server.port).startswith("220 ")

    def children():
        out = subprocess.run(["ps", "-o", "stat=,comm=", "--ppid", str(server.master_pid)], capture_output=True, text=True)
        return out.stdout.split("\n")
    wait_until(lambda: not any("sleep" in line for line in children()), 5, "no orphan left, none a zombie")
    assert server.stop() == 0


@pytest.mark.root
def test_without_root_it_says_once_what_is_missing(make):
    server = make(user=NOBODY)
    lines = server.log_lines("not started as root")
    assert len(lines) == 1 and "chroot" in lines[0]
    assert banner(server.port).startswith("220 ")
    for pid in server.pids():
        status = open(f"/proc/{pid}/status").read()
        assert re.search(rf"^Uid:\s+{NOBODY}\s+{NOBODY}\s+{NOBODY}", status, re.M)
        if MODE != "cov":
            assert re.search(r"^Seccomp:\s+2", status, re.M)
    assert server.stop() == 0


@pytest.mark.root
def test_without_root_a_low_port_is_refused_with_the_remedy(make):
    if int(open("/proc/sys/net/ipv4/ip_unprivileged_port_start").read()) <= 25:
        pytest.skip("everybody may bind port 25 here")
    status, out = fails(make, user=NOBODY, conf={'listen "smtp"': {"port": 25}})
    assert status == 77 and "start as root, or set a port above 1023" in out


def daemon(server, stub, prefix=(), mode="d"):
    """Start as `postern start` does; the answer and the pid."""
    r, w = os.pipe()
    done = subprocess.run([*prefix, os.path.join(stub, "master"), "-c", server.conf_path, f"-{mode}", "-r", str(w)], pass_fds=[w],
                          timeout=20 * SLOW, capture_output=True, text=True)
    os.close(w)
    answer = b""
    while part := os.read(r, 4096):
        answer += part
    os.close(r)
    return done.returncode, answer.decode()


def read_pid(server):
    with open(server.path("run/postern.pid")) as f:
        return int(f.read())


@pytest.fixture
def background():
    """Pids of daemons that are ended after the test."""
    pids = []
    yield pids
    for pid in pids:
        try:
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: not is_running(pid), 20, "daemon ended")
        except ProcessLookupError:
            pass


def test_daemon_answers_when_it_is_ready(make, stub, background):
    server = make(start=False)
    server.write_conf({"log": {"to": server.path("postern.log")}})
    assert daemon(server, stub) == (0, "ok\n")
    pid = read_pid(server)
    background.append(pid)
    assert banner(server.port).startswith("220 ")
    assert os.readlink(f"/proc/{pid}/fd/2") == "/dev/null" and os.getsid(pid) == pid
    wait_until(lambda: " ready version=" in open(server.path("postern.log")).read(), 10, "log line")


def test_daemon_answers_why_it_does_not_start(make, stub):
    server = make(start=False)
    taken = socket.create_server(("127.0.0.1", 0))
    server.write_conf({"log": {"to": server.path("postern.log")}, 'listen "smtp"': {"port": taken.getsockname()[1]}})
    assert "is taken by" in daemon(server, stub)[1]
    taken.close()


# ---- the log ----

def test_log_file_is_reopened_on_usr1(make):
    server = make(start=False)
    path = server.path("postern.log")
    server.write_conf({"log": {"to": path}})
    server.start(wait=False)
    wait_until(lambda: os.path.exists(path) and " ready " in open(path).read(), 10, "ready in the file")
    os.rename(path, path + ".1")
    server.send_signal(signal.SIGUSR1)
    wait_until(lambda: os.path.exists(path), 5, "new file")
    old = server.kill("router")
    wait_until(lambda: f"child={old}" in open(path).read(), 5, "line in the new file")
    assert f"child={old}" not in open(path + ".1").read()


def test_log_as_json(make):
    import json
    server = make(conf={"log": {"format": "json"}}, start=False)
    server.start(wait=False)
    server.wait_log('"event":"ready"')
    for line in server.log().splitlines():
        if line.startswith("{"):
            json.loads(line)
    event = json.loads(server.log_lines('"event":"ready"')[0])
    assert event["process"] == "master" and event["pid"] == server.master_pid and isinstance(event["start_ms"], int)


@pytest.mark.root
def test_syslog_survives_a_restart_of_syslogd(make, stub, background):
    """In a mount namespace of its own, in which /dev/log leads to a socket of this test."""
    server = make(start=False)
    path = server.path("syslog")
    server.write_conf({"log": {"to": "syslog"}})

    def syslogd():
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        s.bind(path)
        os.chmod(path, 0o666)
        s.settimeout(20 * SLOW)
        return s

    def wait_line(s, pattern):
        while True:
            line = s.recv(8192).decode()
            if re.search(pattern, line):
                return line

    s = syslogd()
    script = (f"mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && mknod -m 444 /dev/urandom c 1 9 && "
              f"ln -s {path} /dev/log && exec \"$@\"")
    assert daemon(server, stub, ["unshare", "-m", "sh", "-c", script, "sh"]) == (0, "ok\n")
    background.append(read_pid(server))
    line = wait_line(s, "ready version=")
    assert re.match(r"<22>[A-Z][a-z]{2} [ 0-9]\d \d\d:\d\d:\d\d postern/master\[\d+\]: ready version=", line)
    s.close()
    os.unlink(path)
    pid = read_pid(server)
    children = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(pid)], capture_output=True, text=True).stdout
    router = int(re.search(r"(\d+) postern/router", children).group(1))
    os.kill(router, signal.SIGKILL)
    time.sleep(0.2)
    s = syslogd()
    wait_line(s, rf"child_exit name=router .*child={router}")
    s.close()


