# SPDX-License-Identifier: ISC
mail_DEPS := base
mail_LIBS :=
