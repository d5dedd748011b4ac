# SPDX-License-Identifier: ISC
master_DEPS := conf loop ipc
master_LIBS :=
