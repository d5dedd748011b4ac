# SPDX-License-Identifier: ISC
spool_DEPS := base
