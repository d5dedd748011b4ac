# SPDX-License-Identifier: ISC
cli/test_doctor_WRAP := adjtimex
