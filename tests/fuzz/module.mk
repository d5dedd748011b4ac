# SPDX-License-Identifier: ISC
fuzz_log_DEPS := base
