# SPDX-License-Identifier: ISC
#
# One makefile for the whole tree: it is not recursive, and each folder's module.mk is data only.
#
#   lib/X/*.c                 -> build/MODE/lib/X.a
#   PROGRAM/*.c, PROGRAM/*/*.c -> build/MODE/libexec/postern/PROGRAM  (and build/MODE/lib/prog-PROGRAM.a for its tests)
#   cli/*.c                   -> build/MODE/bin/postern and, from cli/sendmail*.c, build/MODE/bin/sendmail
#   tests/unit/X/test_*.c     -> build/MODE/tests/unit/X/test_*   one Check program each
#   tests/fuzz/fuzz_*.c       -> build/MODE/replay/fuzz_*         feeds the kept corpus; MODE=fuzz: build/fuzz/fuzz/fuzz_*
#   tests/tools/*.c           -> build/MODE/tests/tools/*         helpers of the tests; shim_*.c become shim_*.so
#   X/y.sql                   -> build/MODE/gen/X/y.sql.inc       the file as a C string: #include "X/y.sql.inc"
#
# A module.mk may set, for its library or program X:
#   X_DEPS := base proc     what it uses of lib/ (default: a library, those of lower layers; a program, all)
#   X_LIBS := uv sqlite3    foreign libraries
# for a unit test:    X/test_y_WRAP := fdatasync   functions replaced by the test (-Wl,--wrap), X/test_y_LIBS, X/test_y_DEPS
# for a fuzzer:       fuzz_y_PROG := delivery      the program whose objects it drives; fuzz_y_DEPS
# for a test's tool:  tool_LIBS := fuse3, tool_DEPS := base, tool_CPPFLAGS := -I...
# A folder without .c files is left out.

VERSION := 0.1.0

MODE    ?= release
MODES   := release debug asan tsan fuzz cov
ifeq ($(filter $(MODE),$(MODES)),)
$(error MODE=$(MODE) is none of: $(MODES))
endif
B       := build/$(MODE)
NPROC   := $(shell nproc 2>/dev/null || echo 2)

# Where `make install` puts things; DESTDIR goes in front.
prefix      ?= /usr
sbindir     ?= $(prefix)/sbin
bindir      ?= $(prefix)/bin
libexecdir  ?= $(prefix)/libexec
mandir      ?= $(prefix)/share/man
docdir      ?= $(prefix)/share/doc/postern
sysconfdir  ?= /etc

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
# All processors, unless the command line says -j; a make below another shares its jobs (which, of MAKEFLAGS, only the
# environment tells).
MAKEFLAGS += --no-builtin-rules
ifeq ($(findstring -j,$(shell printf %s "$$MAKEFLAGS")),)
MAKEFLAGS += -j$(NPROC)
endif

# --- compilers and flags ------------------------------------------------------------------------

ifeq ($(MODE),fuzz)
CC      := clang
AR      := ar
else
ifeq ($(origin CC),default)
CC      := gcc
endif
ifeq ($(origin AR),default)
AR      := gcc-ar
endif
endif

WARN    := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wswitch-enum
HARDEN  := -fstack-protector-strong -fPIE
LDHARD  := -pie -Wl,-z,relro,-z,now
# Fat objects: programs are linked with link-time optimisation, unit tests quickly and without.
FLAGS_release := -O2 -g -flto=auto -ffat-lto-objects -D_FORTIFY_SOURCE=3 -Werror
LINK_release  := -O2 -flto=auto
FLAGS_debug   := -O0 -g3 -Werror
# Test builds have crash points (qmgr/crashpoint.h).
# Instrumented builds relax the sandbox as far as their run-time needs it (docs/testing.md).
FLAGS_asan    := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all -DPOSTERN_INSTRUMENTED -Werror
LINK_asan     := -fsanitize=address,undefined
FLAGS_tsan    := -O1 -g -fno-omit-frame-pointer -fsanitize=thread -DPOSTERN_INSTRUMENTED -Werror
LINK_tsan     := -fsanitize=thread
FLAGS_fuzz    := -O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -DPOSTERN_INSTRUMENTED
LINK_fuzz     := -fsanitize=address,undefined
FLAGS_cov     := -O0 -g --coverage -DPOSTERN_INSTRUMENTED -Werror
LINK_cov      := --coverage

ALL_CPPFLAGS := -D_GNU_SOURCE -DPOSTERN_VERSION='"$(VERSION)"' -DPOSTERN_MODE='"$(MODE)"' -Ilib -I. -I$(B)/gen $(CPPFLAGS)
ALL_CFLAGS   := -std=c11 $(WARN) $(HARDEN) $(FLAGS_$(MODE)) -pthread $(CFLAGS)
ALL_LDFLAGS  := $(LDHARD) $(LINK_$(MODE)) -pthread -Wl,--as-needed $(LDFLAGS)
# For tests and tools: no link-time optimisation.
TEST_LDFLAGS := $(LDHARD) $(if $(filter release,$(MODE)),-fno-lto,$(LINK_$(MODE))) -pthread -Wl,--as-needed $(LDFLAGS)

# --- what there is ------------------------------------------------------------------------------

# Libraries by layer; each may use those of lower layers only (scripts/lint-layers).
LAYER_0 := base
LAYER_1 := proc
LAYER_2 := conf smtp mail spool
LAYER_3 := session loop
LAYER_4 := ipc net
LAYER_5 := svc
ALL_LIBS := $(LAYER_0) $(LAYER_1) $(LAYER_2) $(LAYER_3) $(LAYER_4) $(LAYER_5)
ALL_PROGRAMS := master smtpd router userd qmgr delivery amqp-bridge control keyd logd

LIBRARIES := $(foreach l,$(ALL_LIBS),$(if $(wildcard lib/$l/*.c),$l))
PROGRAMS  := $(foreach p,$(ALL_PROGRAMS),$(if $(wildcard $p/main.c),$p))

-include $(wildcard lib/*/module.mk)
-include $(foreach p,$(ALL_PROGRAMS) cli,$(wildcard $p/module.mk))
-include $(wildcard tests/unit/*/module.mk tests/fuzz/module.mk tests/tools/module.mk)

objs = $(patsubst %.c,$(B)/obj/%.o,$1)
libs_of = $(foreach l,$1,$(addprefix -l,$($l_LIBS)))
archives = $(foreach l,$(filter $(LIBRARIES),$1),$(B)/lib/$l.a)
layers_1 := $(LAYER_0)
layers_2 := $(layers_1) $(LAYER_1)
layers_3 := $(layers_2) $(LAYER_2)
layers_4 := $(layers_3) $(LAYER_3)
layers_5 := $(layers_4) $(LAYER_4)
# The libraries below library X, and those of anything that names its own.
below = $(foreach n,1 2 3 4 5,$(if $(filter $1,$(LAYER_$n)),$(layers_$n)))
lib_deps_of = $(sort $(if $(filter undefined,$(origin $1_DEPS)),$(call below,$1),$($1_DEPS) $(foreach d,$($1_DEPS),$(call lib_deps_of,$d))))
# A program that says nothing may use every library: static archives and --as-needed leave out what is not used.
deps_of = $(filter $(LIBRARIES),$(if $(filter undefined,$(origin $1_DEPS)),$(LIBRARIES),$(call lib_deps_of,$1)))
group = -Wl,--start-group $(call archives,$1) -Wl,--end-group $(sort $(call libs_of,$1))

.PHONY: all programs libs
all: libs programs
libs: $(call archives,$(ALL_LIBS))
	@$(if $(filter release,$(MODE)),$(link_current))
define link_current
ln -sfn release/bin build/bin; ln -sfn release/libexec build/libexec
endef

# --- rules --------------------------------------------------------------------------------------
# Each file is made under another name and renamed: a build beside this one never sees half of it, and a running program
# can be replaced.

# Everything is compiled again when the flags change, and only then.
$(B)/flags: FORCE
	@mkdir -p $(B)
	@printf '%s\n' "$(subst ",\",$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS))" | cmp -s - $@ || \
		printf '%s\n' "$(subst ",\",$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS))" > $@
.PHONY: FORCE
FORCE:

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-5s %s\n' $1 $2)

SQL_INCS := $(patsubst %,$(B)/gen/%.inc,$(wildcard $(addsuffix /*.sql,$(ALL_PROGRAMS)) lib/*/*.sql))
.SECONDARY: $(SQL_INCS)
$(B)/gen/%.sql.inc: %.sql
	@mkdir -p $(@D)
	$(Q)sed -e 's/\\/\\\\/g; s/"/\\"/g; s/^/"/; s/$$/\\n"/' $< > $@

$(B)/obj/%.o: %.c $(B)/flags | $(SQL_INCS)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(if $(findstring /shim_,$<),-fPIC) $(if $(filter tests/tools/%,$<),$($(*F)_CPPFLAGS)) -MMD -MP -MF $(@:.o=.d) -MT $@ -c -o $@.$$$$ $< && mv -f $@.$$$$ $@

define make_archive
	@mkdir -p $(@D)
	$(call say,AR,$@)
	$(Q)$(AR) rcs $@.$$$$ $(filter %.o,$^) && mv -f $@.$$$$ $@
endef

# $1 = link flags, $2 = libraries below lib/, $3 = further foreign libraries
define make_program
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $1 -o $@.$$$$ $(filter %.o,$^) $(filter $(B)/lib/prog-%.a,$^) $(call group,$2) $(addprefix -l,$3) && mv -f $@.$$$$ $@
endef

define library_rules
$(B)/lib/$1.a: $(call objs,$(wildcard lib/$1/*.c))
	$$(make_archive)
endef
$(foreach l,$(LIBRARIES),$(eval $(call library_rules,$l)))

program_objs = $(call objs,$(wildcard $1/*.c $1/*/*.c))
define program_rules
$(B)/libexec/postern/$1: $(call program_objs,$1) $(call archives,$(call deps_of,$1))
	$$(call make_program,$$(ALL_LDFLAGS),$(call deps_of,$1),$($1_LIBS))
$(B)/lib/prog-$1.a: $(filter-out $(B)/obj/$1/main.o,$(call program_objs,$1))
	$$(make_archive)
programs: $(B)/libexec/postern/$1
.PHONY: $1
$1: $(B)/libexec/postern/$1
endef
$(foreach p,$(PROGRAMS),$(eval $(call program_rules,$p)))

# cli/: main.c is `postern`, sendmail.c is `sendmail`; further sendmail_*.c belong to the latter, all others to both.
CLI_SENDMAIL := $(wildcard cli/sendmail.c cli/sendmail_*.c)
CLI_POSTERN  := $(filter-out $(CLI_SENDMAIL),$(wildcard cli/*.c))
CLI_SHARED   := $(filter-out cli/main.c cli/sendmail.c,$(wildcard cli/*.c))
ifneq ($(wildcard cli/main.c),)
$(B)/bin/postern: $(call objs,$(CLI_POSTERN)) $(call archives,$(call deps_of,cli))
	$(call make_program,$(ALL_LDFLAGS),$(call deps_of,cli),$(cli_LIBS))
programs: $(B)/bin/postern
endif
ifneq ($(wildcard cli/*.c),)
$(B)/lib/prog-cli.a: $(call objs,$(CLI_SHARED))
	$(make_archive)
endif
ifneq ($(CLI_SENDMAIL),)
$(B)/bin/sendmail: $(call objs,$(CLI_SENDMAIL)) $(B)/lib/prog-cli.a $(call archives,$(call deps_of,cli))
	$(call make_program,$(ALL_LDFLAGS),$(call deps_of,cli),$(cli_LIBS))
	@ln -sfn sendmail $(@D)/mailq; ln -sfn sendmail $(@D)/newaliases
programs: $(B)/bin/sendmail
endif

# --- tests --------------------------------------------------------------------------------------

# tests/unit/*.c and the files of a test's folder that are not test_*.c are helpers linked to each test.
UNIT_COMMON := $(call objs,$(wildcard tests/unit/*.c))
UNIT_SRCS := $(wildcard tests/unit/*/test_*.c)
UNITS := $(patsubst tests/unit/%.c,%,$(UNIT_SRCS))
unit_dir = $(firstword $(subst /, ,$1))
# A library's test is linked with that library and those below it, a program's with all; X/test_y_DEPS adds to it.
unit_deps = $(filter $(LIBRARIES),$(sort $($1_DEPS) $(foreach d,$($1_DEPS),$(call lib_deps_of,$d)) base \
	$(if $(filter $(ALL_LIBS),$(unit_dir)),$(unit_dir) $(call lib_deps_of,$(unit_dir)),$(call deps_of,$(unit_dir)))))
unit_prog = $(if $(filter $(PROGRAMS) cli,$(call unit_dir,$1)),$(call unit_dir,$1))
define unit_rules
$(B)/tests/unit/$1: $(B)/obj/tests/unit/$1.o $(UNIT_COMMON) \
		$(call objs,$(filter-out $(UNIT_SRCS),$(wildcard tests/unit/$(call unit_dir,$1)/*.c))) \
		$(if $(call unit_prog,$1),$(B)/lib/prog-$(call unit_prog,$1).a) $(call archives,$(call unit_deps,$1))
	$$(call make_program,$$(TEST_LDFLAGS) $$(addprefix -Wl$$(comma)--wrap=,$$($1_WRAP)),$(call unit_deps,$1),$($(call unit_prog,$1)_LIBS) $($1_LIBS) check subunit rt m)
endef
comma := ,
$(foreach u,$(UNITS),$(eval $(call unit_rules,$u)))

FUZZERS := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_COMMON := $(call objs,$(filter-out tests/fuzz/replay.c $(wildcard tests/fuzz/fuzz_*.c),$(wildcard tests/fuzz/*.c)))
# A fuzzer is linked with fuzz_x_DEPS and what these need; one that says nothing with every library.
define fuzz_rules
$(B)/replay/$1: $(B)/obj/tests/fuzz/$1.o $(B)/obj/tests/fuzz/replay.o $(FUZZ_COMMON) $(foreach p,$($1_PROG),$(B)/lib/prog-$p.a) \
		$(call archives,base $(call deps_of,$1))
	$$(call make_program,$$(TEST_LDFLAGS),$(sort base $(call deps_of,$1)),$($($1_PROG)_LIBS))
$(B)/fuzz/$1: $(B)/obj/tests/fuzz/$1.o $(FUZZ_COMMON) $(foreach p,$($1_PROG),$(B)/lib/prog-$p.a) $(call archives,base $(call deps_of,$1))
	$$(call make_program,$$(TEST_LDFLAGS) -fsanitize=fuzzer,$(sort base $(call deps_of,$1)),$($($1_PROG)_LIBS))
endef
$(foreach f,$(FUZZERS),$(eval $(call fuzz_rules,$f)))

TOOLS := $(patsubst tests/tools/%.c,%,$(filter-out tests/tools/shim_%,$(wildcard tests/tools/*.c)))
SHIMS := $(patsubst tests/tools/%.c,%.so,$(wildcard tests/tools/shim_*.c))
define tool_rules
$(B)/tests/tools/$1: $(B)/obj/tests/tools/$1.o $(call archives,$(call lib_deps_of,$1))
	$$(call make_program,$$(TEST_LDFLAGS),$(call lib_deps_of,$1),$($1_LIBS))
endef
$(foreach t,$(TOOLS),$(eval $(call tool_rules,$t)))
$(B)/tests/tools/shim_%.so: $(B)/obj/tests/tools/shim_%.o
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) -shared -fno-lto -o $@ $< -ldl

TEST_BINARIES := $(addprefix $(B)/tests/unit/,$(UNITS)) $(addprefix $(B)/tests/tools/,$(TOOLS) $(SHIMS)) \
	$(if $(filter fuzz,$(MODE)),$(addprefix $(B)/fuzz/,$(FUZZERS)),$(addprefix $(B)/replay/,$(FUZZERS)))

.PHONY: tests tools unit
tests: $(TEST_BINARIES)
tools: $(addprefix $(B)/tests/tools/,$(TOOLS) $(SHIMS))

# make unit             all unit tests
# make unit U=base/test_buf   one, with its output
unit: $(addprefix $(B)/tests/unit/,$(or $(U),$(UNITS)))
ifdef U
	@$(B)/tests/unit/$(U)
else
	@MODE=$(MODE) tests/run unit
endif

# --- what people call ---------------------------------------------------------------------------

SUBMAKE  = +@$(MAKE) --no-print-directory MODE=$(MODE)
FUZZMAKE = $(MAKE) --no-print-directory MODE=fuzz fuzzers

.PHONY: run check check-system torture bench install uninstall lint format fuzz clean help
run:
	@scripts/deps build
	$(SUBMAKE) all
	@exec $(B)/bin/postern run -c etc/quickstart.conf

check:
	@scripts/deps build test $(if $(filter release debug,$(MODE)),fuzz)
	@scripts/peers || true
	$(SUBMAKE) all tests
	+$(if $(filter release debug,$(MODE)),@! command -v clang >/dev/null || $(FUZZMAKE))
	@MODE=$(MODE) tests/run

check-system:
	@scripts/deps build test
	@scripts/peers || true
	$(SUBMAKE) all tests
	@MODE=$(MODE) tests/run --long

torture:
	@scripts/deps build test fuzz
	@scripts/peers || true
	$(SUBMAKE) all tests
	+$(FUZZMAKE)
	@MODE=$(MODE) SEED=$(SEED) MINUTES=$(MINUTES) ONLY=$(ONLY) tests/torture

bench:
	@scripts/deps build test
	@scripts/peers || true
	$(SUBMAKE) all tests
	@bench/run

# 10 s for each fuzzer, or FUZZ_SECONDS; one alone: make fuzz F=fuzz_addr FUZZ_SECONDS=1800
FUZZ_SECONDS ?= 10
fuzz:
	@scripts/deps build fuzz
	+$(FUZZMAKE)
	@FUZZ_SECONDS=$(FUZZ_SECONDS) tests/run fuzz $(F)

.PHONY: fuzzers
fuzzers: $(addprefix $(B)/fuzz/,$(FUZZERS))

lint:
	@scripts/deps build lint
	+@scripts/lint

format:
	@scripts/deps lint
	@find . \( -path ./build -o -path ./run -o -path ./.git \) -prune -o -name '*.[ch]' -print0 | xargs -0r clang-format -i

# 0711: a program that its user cannot read is never dumpable, so its user cannot trace it.
install: all
	install -d $(DESTDIR)$(sbindir) $(DESTDIR)$(bindir) $(DESTDIR)$(libexecdir)/postern $(DESTDIR)$(sysconfdir)/postern $(DESTDIR)$(docdir)
	install -m 755 $(B)/bin/postern $(DESTDIR)$(sbindir)/postern
	$(if $(CLI_SENDMAIL),install -m 755 $(B)/bin/sendmail $(DESTDIR)$(sbindir)/sendmail)
	$(if $(CLI_SENDMAIL),ln -sfn ../sbin/sendmail $(DESTDIR)$(bindir)/mailq; ln -sfn ../sbin/sendmail $(DESTDIR)$(bindir)/newaliases)
	$(foreach p,$(PROGRAMS),install -m $(if $(filter delivery,$p),711,755) $(B)/libexec/postern/$p $(DESTDIR)$(libexecdir)/postern/$p;)
	for m in docs/man/*.[1-8]; do [ ! -f "$$m" ] || install -D -m 644 "$$m" "$(DESTDIR)$(mandir)/man$${m##*.}/$${m##*/}"; done
	install -m 644 README.md LICENSE docs/log.md $(DESTDIR)$(docdir)
	install -D -m 644 etc/fail2ban/filter.d/postern.conf $(DESTDIR)$(docdir)/fail2ban/filter.d/postern.conf
	[ ! -f etc/postern.conf ] || install -m 644 etc/postern.conf $(DESTDIR)$(docdir)/postern.conf.sample
	[ ! -f etc/postern.conf ] || [ -e $(DESTDIR)$(sysconfdir)/postern/postern.conf ] || \
		install -m 644 etc/postern.conf $(DESTDIR)$(sysconfdir)/postern/postern.conf

# Leaves the configuration and the spool.
uninstall:
	rm -f $(DESTDIR)$(sbindir)/postern $(DESTDIR)$(sbindir)/sendmail $(DESTDIR)$(bindir)/mailq $(DESTDIR)$(bindir)/newaliases
	rm -rf $(DESTDIR)$(libexecdir)/postern $(DESTDIR)$(docdir)
	for m in docs/man/*.[1-8]; do [ ! -f "$$m" ] || rm -f "$(DESTDIR)$(mandir)/man$${m##*.}/$${m##*/}"; done

clean:
	rm -rf build

help:
	@echo 'make              build into build/ (MODE=release; also debug asan tsan cov)'
	@echo 'make run          install what is missing, build, start a complete server in the foreground'
	@echo 'make check        build and run the tests; make MODE=asan check the same with sanitizers'
	@echo 'make unit         the unit tests; make unit U=base/test_buf one of them'
	@echo 'make check-system the long tests;  make torture  kill, power-cut and fuzz runs'
	@echo 'make bench        the benchmarks'
	@echo 'make fuzz         FUZZ_SECONDS=10 for each fuzzer; F=fuzz_addr for one'
	@echo 'make lint         static checks;  make format  clang-format'
	@echo 'make install      DESTDIR= prefix=/usr;  make uninstall'
	@echo 'make clean        remove build/'

-include $(shell [ -d $(B)/obj ] && find $(B)/obj -name '*.d')
