# SPDX-License-Identifier: ISC
"""Fixtures of the integration tests. A test that fails shows the log of each server it ran."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from tests.harness import nexthop, postern    # noqa: E402

LOG_SHOWN = 30000


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if call.when == "call" and report.failed:
        for server in postern.Postern.all:
            text = server.output()
            if len(text) > LOG_SHOWN:
                text = "[...]\n" + text[-LOG_SHOWN:]
            report.sections.append((f"log of the server in {server.dir}", text or "(empty)"))


@pytest.fixture
def make_server():
    """make_server(conf={...}, ...) gives a running Postern (see harness/postern.py); all are stopped at the end."""
    made = []

    def make(*args, **kw):
        server = postern.Postern(*args, **kw)
        made.append(server)
        return server

    yield make
    for server in made:
        server.close()


@pytest.fixture
def server(make_server):
    """A server with the default configuration of the tests."""
    return make_server()


@pytest.fixture
def make_hop():
    """make_hop(...) gives a scriptable next hop (see harness/nexthop.py); all are closed at the end."""
    made = []

    def make(*args, **kw):
        hop = nexthop.NextHop(*args, **kw)
        made.append(hop)
        return hop

    yield make
    for hop in made:
        hop.close()


@pytest.fixture
def hop(make_hop):
    return make_hop()


def pytest_configure(config):
    config.addinivalue_line("markers", "root: needs root")
    config.addinivalue_line("markers", "long: not in the short run")


def pytest_collection_modifyitems(config, items):
    for item in items:
        if "root" in item.keywords and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root"))
