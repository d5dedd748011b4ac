# SPDX-License-Identifier: ISC
"""The fixtures of the integration tests serve here too."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from tests.integration.conftest import *    # noqa: F401,F403,E402
