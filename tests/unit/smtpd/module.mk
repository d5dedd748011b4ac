# SPDX-License-Identifier: ISC
smtpd/test_verdicts_WRAP := chan_send
