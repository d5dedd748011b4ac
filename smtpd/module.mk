# SPDX-License-Identifier: ISC
smtpd_LIBS := uv idn2
