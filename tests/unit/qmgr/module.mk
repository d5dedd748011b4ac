# SPDX-License-Identifier: ISC
qmgr/test_faults_WRAP := pwritev fdatasync fstatvfs fallocate
qmgr/test_outcome_WRAP := store_wants_events store_event store_done store_put store_bounce store_when_durable reports_add reports_changed finish_check
qmgr/test_events_WRAP := pwrite fdatasync fsync openat
qmgr/test_intake_WRAP := fdatasync fsync pwrite
