# SPDX-License-Identifier: ISC
base_DEPS :=
base_LIBS := pthread
