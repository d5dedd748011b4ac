# SPDX-License-Identifier: ISC
session_DEPS := base smtp mail spool
session_LIBS :=
