# SPDX-License-Identifier: ISC
svc_LIBS := uv seccomp
