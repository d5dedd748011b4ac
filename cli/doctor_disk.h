/* SPDX-License-Identifier: ISC */
#ifndef CLI_DOCTOR_DISK_H
#define CLI_DOCTOR_DISK_H

/* What is to be said against a spool on a file system of this type (statfs f_type): "NFS, a network file system".
 * NULL: nothing. remedy_out: set then. */
const char *doctor_disk_kind(unsigned long type, const char **remedy_out);

#endif
