# SPDX-License-Identifier: ISC
router/test_answer_WRAP := chan_send chan_kind svc_peer_next
