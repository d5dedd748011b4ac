# SPDX-License-Identifier: ISC
smtp_DEPS := base
smtp_LIBS := idn2
