/* SPDX-License-Identifier: ISC */
#ifndef CONF_CONF_ENUM_H
#define CONF_CONF_ENUM_H

/* Values of the OPT_ENUM rows of options.def, in the order of the row; a test compares the two. */
enum conf_listen_role { CONF_LISTEN_ROLE_MX, CONF_LISTEN_ROLE_SUBMISSION, CONF_LISTEN_ROLE_COUNT };

enum conf_domain_class {
	CONF_DOMAIN_CLASS_VIRTUAL,
	CONF_DOMAIN_CLASS_RELAY,
	CONF_DOMAIN_CLASS_LMTP,
	CONF_DOMAIN_CLASS_DISCARD,
	CONF_DOMAIN_CLASS_COUNT
};

/* bare_newline and bare_newline_trusted */
enum conf_bare_newline {
	CONF_BARE_NEWLINE_REJECT,
	CONF_BARE_NEWLINE_NORMALIZE,
	CONF_BARE_NEWLINE_COUNT
};

enum conf_resolver_prefer {
	CONF_RESOLVER_PREFER_IPV6,
	CONF_RESOLVER_PREFER_IPV4,
	CONF_RESOLVER_PREFER_NONE,
	CONF_RESOLVER_PREFER_COUNT
};

enum conf_log_format {
	CONF_LOG_FORMAT_TEXT,
	CONF_LOG_FORMAT_JSON,
	CONF_LOG_FORMAT_POSTFIX,
	CONF_LOG_FORMAT_COUNT
};

/* The order of enum log_level. */
enum conf_log_level {
	CONF_LOG_LEVEL_DEBUG,
	CONF_LOG_LEVEL_INFO,
	CONF_LOG_LEVEL_WARN,
	CONF_LOG_LEVEL_ERROR,
	CONF_LOG_LEVEL_COUNT
};

#endif
