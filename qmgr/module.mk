# SPDX-License-Identifier: ISC
qmgr_DEPS := base proc conf mail spool loop ipc svc
qmgr_LIBS := sqlite3 uv
