# SPDX-License-Identifier: ISC
fuzz_log_DEPS := base
fuzz_table_PROG := router
fuzz_reply_DEPS := smtp
fuzz_out_session_PROG := delivery
fuzz_dsn_DEPS := mail
fuzz_event_DEPS := spool
