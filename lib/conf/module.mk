# SPDX-License-Identifier: ISC
conf_DEPS := base proc
conf_LIBS := confuse
