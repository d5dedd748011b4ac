# SPDX-License-Identifier: ISC
dsn_sample_DEPS := mail
probe_DEPS := svc
faultfs_LIBS := fuse3
faultfs_CPPFLAGS := -I/usr/include/fuse3 -D_FILE_OFFSET_BITS=64
bed_smtpd_DEPS := conf spool ipc
testchild_DEPS := svc
bed_delivery_DEPS := conf spool ipc
