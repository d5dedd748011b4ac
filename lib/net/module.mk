# SPDX-License-Identifier: ISC
net_DEPS := base loop
net_LIBS := uv
