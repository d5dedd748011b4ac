# SPDX-License-Identifier: ISC
proc_LIBS :=
