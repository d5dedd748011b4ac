# SPDX-License-Identifier: ISC
cli_LIBS := jansson unbound
