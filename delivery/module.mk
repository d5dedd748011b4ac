# SPDX-License-Identifier: ISC
delivery_DEPS := svc smtp mail spool
