# SPDX-License-Identifier: ISC
router_LIBS := unbound idn2 uv
