# SPDX-License-Identifier: ISC
fuzz_log_DEPS := base
fuzz_table_PROG := router
