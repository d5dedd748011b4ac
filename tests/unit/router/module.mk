# SPDX-License-Identifier: ISC
router/test_answer_WRAP := chan_send chan_kind svc_peer_next
# fake_dns.c
FAKE_DNS := dns_ask dns_hosts_find dns_in_flight dns_asked dns_failed
router/test_answer_WRAP += $(FAKE_DNS)
router/test_site_WRAP := $(FAKE_DNS)
router/test_dns_WRAP := $(addprefix ub_,ctx_create ctx_delete ctx_debugout ctx_set_option ctx_set_fwd ctx_add_ta ctx_async \
	ctx_zone_remove fd process cancel resolve_async resolve_free) \
	uv_timer_start
