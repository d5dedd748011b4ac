# SPDX-License-Identifier: ISC
ipc_LIBS := uv
