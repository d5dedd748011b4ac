# SPDX-License-Identifier: ISC
logd_DEPS := svc
logd_LIBS :=
