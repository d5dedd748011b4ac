# SPDX-License-Identifier: ISC
delivery/test_maildir_WRAP := write fsync renameat2
