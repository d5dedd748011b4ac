# SPDX-License-Identifier: ISC
qmgr/test_faults_WRAP := pwritev fdatasync fstatvfs fallocate
