# SPDX-License-Identifier: ISC
loop_LIBS := uv
