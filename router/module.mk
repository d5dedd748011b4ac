# SPDX-License-Identifier: ISC
router_LIBS := unbound uv
