# SPDX-License-Identifier: ISC
qmgr/test_faults_WRAP := pwritev fdatasync fstatvfs fallocate
qmgr/test_outcome_WRAP := store_wants_events store_event store_done store_put store_bounce store_when_durable reports_add reports_changed finish_check
qmgr/test_events_WRAP := pwrite fdatasync fsync openat
qmgr/test_intake_WRAP := fdatasync fsync pwrite
qmgr/test_sched_WRAP := chan_send chan_kind chan_slot chan_data chan_set_data chan_is_full svc_peer_is_alone svc_peer_silent \
	svc_peer_close uv_timer_start
