# SPDX-License-Identifier: ISC
control_DEPS := svc
control_LIBS := uv
