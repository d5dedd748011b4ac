# SPDX-License-Identifier: ISC
"""What the integration tests share: the server under test, an SMTP client, scriptable next hops, Maildirs."""
